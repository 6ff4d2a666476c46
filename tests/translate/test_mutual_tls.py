"""The ways into a port, for each mode and protocol."""

from __future__ import annotations

import pytest

from xds_server.mesh.security import MutualTls
from xds_server.mesh.service import Protocol
from xds_server.translate.mutual_tls import Reading, WayIn, ways_in

HTTP = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
TCP = ("istio-peer-exchange", "istio")
PLAIN = ("http/1.1", "h2c")
PROTOCOLS = [Protocol.AUTO, Protocol.HTTP, Protocol.GRPC, Protocol.TCP, Protocol.TLS, Protocol.MYSQL]


def told(protocol: Protocol, mode: MutualTls) -> list[str]:
    """Each way in a word: what is read, through which transport."""
    return [
        f"{'mesh' if way.mesh_tls else way.transport or 'any'} {way.reading.name}{' by alpn' if way.protocols else ''}"
        for way in ways_in(protocol, mode, has_identity=True)
    ]


@pytest.mark.parametrize(
    ("protocol", "mode", "ways"),
    [
        (
            Protocol.AUTO,
            MutualTls.PERMISSIVE,
            ["mesh HTTP by alpn", "mesh TCP by alpn", "raw_buffer HTTP by alpn", "raw_buffer TCP", "tls TCP"],
        ),
        (Protocol.HTTP, MutualTls.PERMISSIVE, ["mesh HTTP by alpn", "raw_buffer HTTP"]),
        (Protocol.TCP, MutualTls.PERMISSIVE, ["mesh TCP by alpn", "raw_buffer TCP", "tls TCP"]),
        (Protocol.AUTO, MutualTls.STRICT, ["mesh HTTP by alpn", "mesh TCP by alpn", "mesh TCP"]),
        (Protocol.HTTP, MutualTls.STRICT, ["mesh HTTP by alpn", "mesh HTTP"]),
        (Protocol.TCP, MutualTls.STRICT, ["mesh TCP by alpn", "mesh TCP"]),
        (Protocol.AUTO, MutualTls.DISABLE, ["any HTTP by alpn", "any TCP"]),
        (Protocol.HTTP, MutualTls.DISABLE, ["any HTTP"]),
        (Protocol.TCP, MutualTls.DISABLE, ["any TCP"]),
    ],
)
def test_ways_into_a_port(protocol: Protocol, mode: MutualTls, ways: list[str]) -> None:
    assert told(protocol, mode) == ways


def test_alpn_tells_what_is_inside_a_detected_port() -> None:
    mesh_http, mesh_tcp, plain_http, *_ = ways_in(Protocol.AUTO, MutualTls.PERMISSIVE, has_identity=True)

    assert mesh_http == WayIn(Reading.HTTP, mesh_tls=True, transport="tls", protocols=HTTP)
    assert mesh_tcp == WayIn(Reading.TCP, mesh_tls=True, transport="tls", protocols=TCP)
    assert plain_http.protocols == PLAIN


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol or "detected")
def test_mesh_ways_are_the_same_in_permissive_and_strict(protocol: Protocol) -> None:
    """A change of mode then leaves every open mesh connection alone."""
    permissive, strict = (
        [way for way in ways_in(protocol, mode, has_identity=True) if way.mesh_tls and way.protocols]
        for mode in (MutualTls.PERMISSIVE, MutualTls.STRICT)
    )

    assert permissive == strict


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol or "detected")
def test_strict_takes_nothing_but_mesh_tls(protocol: Protocol) -> None:
    assert all(way.mesh_tls for way in ways_in(protocol, MutualTls.STRICT, has_identity=True))


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol or "detected")
def test_strict_port_of_a_proxy_without_an_identity_is_closed(protocol: Protocol) -> None:
    """It cannot speak what its policy asks for, and must not speak anything else."""
    assert ways_in(protocol, MutualTls.STRICT, has_identity=False) == ()


@pytest.mark.parametrize("mode", [MutualTls.DISABLE, MutualTls.PERMISSIVE])
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol or "detected")
def test_proxy_without_an_identity_is_plain_otherwise(protocol: Protocol, mode: MutualTls) -> None:
    plain = ways_in(protocol, MutualTls.DISABLE, has_identity=True)

    assert ways_in(protocol, mode, has_identity=False) == plain
    assert not any(way.mesh_tls for way in plain)
