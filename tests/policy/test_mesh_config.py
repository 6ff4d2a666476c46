"""MeshConfig in each of the forms that people have it in."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xds_server.mesh.identity import TrustDomain
from xds_server.policy.document import Document, parse_document, unfolded
from xds_server.policy.mesh_config import MeshConfigSpec
from xds_server.problem import Problem
from xds_server.store.yaml_reader import read_documents


def parse(text: str, file: str = "policies/mesh.yaml") -> tuple[Document | None, tuple[Problem, ...]]:
    (raw,) = read_documents(textwrap.dedent(text), file)[0]
    return parse_document(next(unfolded(raw)), "default")


@pytest.mark.parametrize(
    "text",
    [
        "connectTimeout: 3s",
        "{kind: MeshConfig, connectTimeout: 3s}",
        "{kind: MeshConfig, spec: {connectTimeout: 3s}}",
        "{apiVersion: mesh.istio.io/v1alpha1, kind: MeshConfig, metadata: {name: mesh}, spec: {connectTimeout: 3s}}",
    ],
)
def test_each_form_is_read(text: str) -> None:
    document, problems = parse(text)

    assert not problems
    assert document is not None
    assert document.key == ("MeshConfig", "default", "mesh")
    assert isinstance(document.spec, MeshConfigSpec)
    assert document.spec.connect_timeout is not None


def test_bare_mapping_is_a_mesh_config_in_mesh_yaml_alone() -> None:
    assert parse("connectTimeout: 3s", "policies/other.yaml")[0] is None


def test_unknown_field_is_an_error_on_its_line() -> None:
    document, (problem,) = parse("rootNamespace: infra\nconectTimeout: 3s\n")

    assert document is None
    assert (problem.line, problem.code) == (2, "unknown-field")
    assert "connectTimeout" in problem.fix


@pytest.mark.parametrize("alias", ["spiffe://old.example", "Old.example", "old.example/ns/a", "old example", '""'])
def test_alias_that_is_no_trust_domain_is_an_error_on_its_line(alias: str) -> None:
    document, (problem,) = parse(f"trustDomainAliases:\n- old.example\n- {alias}\n")

    assert document is None
    assert (problem.line, problem.column, problem.field) == (3, 3, "spec.trustDomainAliases[1]")
    assert alias.strip('"') in problem.message


@given(st.text("aZ0._-/: é", max_size=8) | st.text(max_size=4))
def test_trust_domain_is_what_identities_can_be_made_in(name: str) -> None:
    """The rule stands here and where identities are made."""
    try:
        MeshConfigSpec.model_validate({"trustDomain": name})
    except ValidationError:
        with pytest.raises(ValueError, match="no trust domain"):
            TrustDomain(name)
    else:
        assert TrustDomain(name).name == name


def test_field_that_nothing_obeys_is_reported() -> None:
    _, problems = parse("defaultProviders: {metrics: [prometheus]}\ningressClass: istio\n")

    assert [(problem.field, problem.code) for problem in problems] == [("spec.ingressClass", "no-effect")]
