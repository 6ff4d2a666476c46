"""Fields that are accepted and not obeyed: each is told."""

from __future__ import annotations

import pytest

from tests.policy.reading import of_kind
from xds_server.policy.not_applied import not_applied
from xds_server.policy.pattern import inside, pattern_parts
from xds_server.problem import Severity

MATCH = {"sourceSubnet": "10.0.0.0/8"}


def places(kind: str, spec: object) -> list[tuple[str | int, ...]]:
    return [finding.at for finding in not_applied(kind, spec, inside(spec))]


@pytest.mark.parametrize(
    ("kind", "spec", "place"),
    [
        ("MeshConfig", {"ingressClass": "istio"}, ("ingressClass",)),
        ("MeshConfig", {"ingress_class": "istio"}, ("ingress_class",)),
        ("VirtualService", {"tcp": [{"match": [{}, MATCH]}]}, ("tcp", 0, "match", 1, "sourceSubnet")),
    ],
)
def test_each_row_is_met(kind: str, spec: object, place: tuple[str | int, ...]) -> None:
    assert places(kind, spec) == [place]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("VirtualService", {"gateways": ["mesh"]}),
        ("VirtualService", {"http": [{"route": []}]}),
        ("DestinationRule", {"trafficPolicy": {"tls": {"mode": "SIMPLE"}}}),
        ("ServiceEntry", {"resolution": "DNS"}),
    ],
)
def test_what_is_obeyed_is_not_mentioned(kind: str, spec: object) -> None:
    assert places(kind, spec) == []


def test_the_document_stays_in_force_with_a_warning_at_the_field() -> None:
    tcp = "hosts: [a]\ntcp: [{match: [{sourceSubnet: 10.0.0.0/8}], route: [{destination: {host: a}}]}]"

    document, problems = of_kind("VirtualService", tcp)

    assert document is not None
    assert document.problems == problems
    (warning,) = problems
    assert (warning.severity, warning.code) == (Severity.WARNING, "no-effect")
    assert (warning.field, warning.line, warning.column) == ("spec.tcp[0].match[0].sourceSubnet", 6, 19)


def test_a_pattern_names_keys_and_lists() -> None:
    assert pattern_parts("http[].delegate") == ("http", "[]", "delegate")
