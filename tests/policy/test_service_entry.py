"""Istio's rules for a ServiceEntry, each in the words its author reads."""

from __future__ import annotations

import pytest

from tests.policy.reading import errors, of_kind
from xds_server.policy.service_entry import Location, Resolution, ServiceEntrySpec


def test_every_part_is_read() -> None:
    document, problems = of_kind(
        "ServiceEntry",
        """
        hosts: [worker-service]
        addresses: [10.0.0.1]
        ports: [{number: 80, name: http, protocol: http, targetPort: 8080}]
        location: MESH_INTERNAL
        resolution: STATIC
        endpoints: [{address: 10.0.0.2, ports: {http: 9090}, labels: {version: v1}, locality: eu/a, weight: 2}]
        exportTo: ["~"]
        """,
    )

    assert problems == ()
    assert document is not None
    spec = document.spec
    assert isinstance(spec, ServiceEntrySpec)
    assert (spec.location, spec.resolution) == (Location.MESH_INTERNAL, Resolution.STATIC)
    assert spec.ports[0].protocol == "HTTP"
    assert spec.endpoints[0].ports == {"http": 9090}


@pytest.mark.parametrize(
    ("rest", "field"),
    [
        ("workloadSelector: {}, endpoints: [], resolution: STATIC", "workloadSelector"),
        ("ports: [{number: 1, name: a}, {number: 1, name: b}]", "ports[1].number"),
        ("ports: [{number: 1, name: a}, {number: 2, name: a}]", "ports[1].name"),
        ("ports: [{number: 1, name: a, protocol: SPDY}]", "ports[0].protocol"),
        ("ports: [{number: 1}]", "ports[0].name"),
        ("ports: [{number: 1, name: a, targetPort: 70000}]", "ports[0].targetPort"),
        ("endpoints: [{address: 10.0.0.1}]", "endpoints"),
        ("resolution: STATIC, endpoints: [{address: a.b}]", "endpoints[0].address"),
        ("resolution: STATIC, endpoints: [{address: 10.0.0.1, ports: {x: 1}}]", "endpoints[0].ports.x"),
        ("resolution: STATIC, endpoints: [{address: 'unix:///a'}]", "endpoints[0].address"),
        ("resolution: DNS, ports: [{number: 1, name: a}], endpoints: [{address: 'unix:///a'}]", "endpoints[0].address"),
        ("resolution: DNS_ROUND_ROBIN, endpoints: [{address: a}, {address: b}]", "endpoints[1]"),
        ("resolution: DNS, addresses: [10.0.0.0/8]", "addresses[0]"),
        ("addresses: [10.0.0.0/99]", "addresses[0]"),
        ("resolution: DYNAMIC_DNS", "hosts[0]"),
        ("resolution: SOMEHOW", "resolution"),
        ("exportTo: ['~', a]", "exportTo[0]"),
    ],
)
def test_istios_rules(rest: str, field: str) -> None:
    assert [where for where, _ in errors("ServiceEntry", f"{{hosts: [a.b], {rest}}}")] == [field]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{}", "hosts"),
        ("{hosts: []}", "hosts"),
        ("{hosts: ['*']}", "hosts[0]"),
        ("{hosts: ['*.a'], resolution: DNS}", "hosts[0]"),
        ("{hosts: [a.b, c.d], resolution: DNS, ports: [{number: 1, name: a, protocol: TCP}]}", "ports[0]"),
        ("{hosts: ['*.a'], resolution: DYNAMIC_DNS, addresses: [10.0.0.1]}", "addresses"),
        (
            "{hosts: ['*.a'], resolution: DYNAMIC_DNS, ports: [{number: 1, name: a, protocol: TCP}]}",
            "ports[0].protocol",
        ),
    ],
)
def test_rules_about_hosts(spec: str, field: str) -> None:
    assert [where for where, _ in errors("ServiceEntry", spec)] == [field]


@pytest.mark.parametrize(
    "spec",
    [
        "{hosts: ['*.a'], resolution: DNS, endpoints: [{address: b}]}",
        "{hosts: [a.b], resolution: DNS}",
        "{hosts: [a.b, c.d], resolution: NONE, ports: [{number: 1, name: a, protocol: TCP}]}",
        "{hosts: [a.b], workloadSelector: {labels: {app: a}}, resolution: STATIC}",
        "{hosts: [a.b], addresses: [10.0.0.0/8]}",
    ],
)
def test_what_istio_allows(spec: str) -> None:
    assert errors("ServiceEntry", spec) == []
