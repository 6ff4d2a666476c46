"""Services, ports and endpoints."""

from __future__ import annotations

import pytest

from tests.builders import endpoint, service
from xds_server.mesh.service import Endpoint, Locality, Port, Protocol, labels_match


def test_endpoint_listens_where_it_says_then_at_the_target_then_at_the_same_number() -> None:
    """Istio's order: endpoint.ports[name] > targetPort > number."""
    port = Port(80, "http", Protocol.HTTP, target_port=8080)

    assert Endpoint("10.0.0.1", ports=(("http", 9090),)).port_for(port) == 9090
    assert Endpoint("10.0.0.1", ports=(("grpc", 9090),)).port_for(port) == 8080
    assert Endpoint("10.0.0.1").port_for(Port(80, "http", Protocol.HTTP)) == 80


@pytest.mark.parametrize(
    ("text", "locality"),
    [
        ("", Locality()),
        ("west", Locality("west")),
        ("west/a", Locality("west", "a")),
        ("w/a/1", Locality("w", "a", "1")),
    ],
)
def test_locality_is_region_zone_and_sub_zone(text: str, locality: Locality) -> None:
    """Later parts may be left out, and what is printed can be read again."""
    assert Locality.parse(text) == locality
    assert str(locality) == text


def test_empty_selector_matches_everything() -> None:
    """And any other needs every one of its pairs."""
    labels = (("app", "web"), ("version", "v1"))

    assert labels_match((), labels)
    assert labels_match((("app", "web"),), labels)
    assert not labels_match((("app", "web"), ("version", "v2")), labels)


def test_loopback_address_tells_no_workload_apart() -> None:
    """Every workload has it."""
    found = service(endpoints=[endpoint("127.0.0.1"), endpoint("10.0.0.9"), endpoint("unix:///run/x")])

    assert set(found.endpoint_by_address) == {"10.0.0.9"}


@pytest.mark.parametrize("protocol", [Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB])
def test_http2_protocols_are_http(protocol: Protocol) -> None:
    """What is always HTTP/2 is also read as HTTP."""
    assert protocol.is_http
    assert protocol.is_http2


def test_unset_protocol_is_neither_http_nor_tls() -> None:
    """It is detected from the first bytes."""
    assert (Protocol.AUTO.is_http, Protocol.AUTO.is_http2, Protocol.AUTO.is_tls) == (False, False, False)


def test_locality_is_under_a_pattern_that_leaves_parts_open() -> None:
    there = Locality("a", "b", "c")

    assert all(there.is_under(pattern) for pattern in ("*", "a", "a/*", "a/b", "a/b/*", "a/*/c"))
    assert not any(there.is_under(pattern) for pattern in ("b/*", "a/c", "a/b/d"))
