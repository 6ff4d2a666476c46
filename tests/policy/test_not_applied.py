"""Fields that are accepted and not obeyed: each is told."""

from __future__ import annotations

import pytest

from tests.policy.reading import of_kind
from xds_server.policy.not_applied import not_applied
from xds_server.policy.pattern import pattern_parts
from xds_server.problem import Severity

ZONES: dict[str, object] = {"loadBalancer": {"zoneAwareLbSetting": {}}}


def places(kind: str, spec: object) -> list[tuple[str | int, ...]]:
    return [finding.at for finding in not_applied(kind, spec)]


@pytest.mark.parametrize(
    ("kind", "spec", "place"),
    [
        ("Gateway", {"servers": [{"tls": {"mode": "AUTO_PASSTHROUGH"}}]}, ("servers", 0, "tls", "mode")),
        ("DestinationRule", {"traffic_policy": ZONES}, ("traffic_policy", "loadBalancer", "zoneAwareLbSetting")),
        (
            "DestinationRule",
            {"subsets": [{"trafficPolicy": {"portLevelSettings": [ZONES]}}]},
            ("subsets", 0, "trafficPolicy", "portLevelSettings", 0, "loadBalancer", "zoneAwareLbSetting"),
        ),
        (
            "DestinationRule",
            {"trafficPolicy": ZONES},
            ("trafficPolicy", "loadBalancer", "zoneAwareLbSetting"),
        ),
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
    document, problems = of_kind("DestinationRule", "host: a\ntrafficPolicy: {loadBalancer: {zoneAwareLbSetting: {}}}")

    assert document is not None
    assert document.problems == problems
    (warning,) = problems
    assert (warning.severity, warning.code) == (Severity.WARNING, "not-applied-yet")
    assert (warning.field, warning.line, warning.column) == (
        "spec.trafficPolicy.loadBalancer.zoneAwareLbSetting",
        6,
        34,
    )


def test_a_pattern_names_keys_and_lists() -> None:
    assert pattern_parts("http[].delegate") == ("http", "[]", "delegate")
