"""Which domain wins."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.explain.virtual_host import virtual_host_for, without_port

DOMAINS = ("a.b.test", "*.b.test", "*.test", "a.*", "a.b.*", "*", "[fd00::1]", "c.test:8080")


def chosen(authority: str, *domains: str, ignore_port: bool = True) -> str | None:
    hosts = [route_v3.VirtualHost(name=domain, domains=[domain]) for domain in domains]
    routes = route_v3.RouteConfiguration(virtual_hosts=hosts, ignore_port_in_host_matching=ignore_port)
    found = virtual_host_for(routes, authority)
    return found.name if found else None


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("a.b.test", "a.b.test"),
        ("A.B.TEST:80", "a.b.test"),
        ("x.b.test", "*.b.test"),
        ("b.test", "*.test"),
        ("a.b.net", "a.b.*"),
        ("a.net", "a.*"),
        (".b.test", "*.test"),
        ("net", "*"),
        ("[fd00::1]:80", "[fd00::1]"),
    ],
)
def test_exact_then_longest_suffix_then_longest_prefix_then_any(authority: str, expected: str) -> None:
    assert chosen(authority, *DOMAINS) == expected


def test_port_counts_where_it_is_not_ignored() -> None:
    assert chosen("c.test:8080", "c.test:8080", "*", ignore_port=False) == "c.test:8080"
    assert chosen("c.test:8081", "c.test:8080", "*", ignore_port=False) == "*"
    assert chosen("c.test:8080", "c.test:8080", ignore_port=True) is None


@pytest.mark.parametrize("authority", ["a.test", "[fd00::1]", "a.test:", "a.test:http"])
def test_what_is_no_port_stays(authority: str) -> None:
    assert without_port(authority) == authority
