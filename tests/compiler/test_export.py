"""Who may see what a document defines."""

from __future__ import annotations

import pytest

from tests.builders import document
from xds_server.compiler.export import export_to, is_exported, rank
from xds_server.policy.document import Document


def rule(export: str) -> Document:
    return document(f"""
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {{name: reviews, namespace: shop}}
    spec: {{host: reviews, subsets: [{{name: v1}}], exportTo: {export}}}
    """)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("[]", ("*",)), ('["*"]', ("*",)), ('["."]', ("shop",)), ('["bank", "."]', ("bank", "shop"))],
)
def test_export_is_everybody_unless_namespaces_are_named(written: str, meant: tuple[str, ...]) -> None:
    assert export_to(rule(written)) == meant


def test_service_may_be_exported_to_nobody() -> None:
    entry = document("""
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {name: reviews}
    spec: {hosts: [reviews], exportTo: ["~"]}
    """)

    assert export_to(entry) == ()


def test_rule_exported_only_to_others_is_not_seen_in_its_own_namespace() -> None:
    names = export_to(rule("[bank]"))

    assert is_exported(names, "bank")
    assert not is_exported(names, "shop")


def test_private_documents_come_before_named_namespaces_and_those_before_public_ones() -> None:
    assert [rank(rule(written)) for written in ('["."]', "[bank]", "[]")] == [0, 1, 2]
