"""Which servers can stand on one port together."""

from __future__ import annotations

import pytest

from xds_server.mesh.gateway import Gateway, Server, ServerTls, ServerTlsMode, narrower, open_ports
from xds_server.mesh.service import Port, Protocol

SIMPLE = ServerTls(ServerTlsMode.SIMPLE, ("shop",))


def server(protocol: Protocol, host: str = "*", tls: ServerTls | None = None, *, index: int = 0) -> Server:
    return Server("default/edge", index, Port(80, f"p{index}", protocol), (("*", host),), tls=tls)


def opened(*servers: Server) -> list[int]:
    """The servers that find a place, by index."""
    gateway = Gateway("default", "edge", (), servers)
    ports, refused = open_ports([gateway])
    there = [each for on_port in ports.values() for each in on_port]
    assert len(there) + len(refused) == len(servers)
    return [servers.index(each) for each in there]


def test_plain_http_servers_share_a_port() -> None:
    assert opened(server(Protocol.HTTP, "a"), server(Protocol.GRPC, "a", index=1)) == [0, 1]


@pytest.mark.parametrize("first", [Protocol.TCP, Protocol.HTTP])
def test_plain_connections_of_two_kinds_do_not(first: Protocol) -> None:
    assert opened(server(first), server(Protocol.TCP, index=1)) == [0]


def test_tls_servers_share_a_port_when_their_hosts_differ() -> None:
    hosts = [server(Protocol.HTTPS, host, SIMPLE, index=i) for i, host in enumerate(("a", "b", "a"))]

    assert opened(*hosts) == [0, 1]


def test_plain_server_may_follow_tls_and_not_the_other_way_round() -> None:
    tls, plain = server(Protocol.HTTPS, "a", SIMPLE), server(Protocol.HTTP, index=1)

    assert opened(tls, plain) == [0, 1]
    assert opened(plain, tls) == [0]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("a.com", "a.com", "a.com"),
        ("*.com", "a.com", "a.com"),
        ("a.com", "*", "a.com"),
        ("*.b.com", "*.com", "*.b.com"),
        ("a.com", "b.com", None),
        ("*.a.com", "a.com", None),
    ],
)
def test_of_two_patterns_the_narrower_is_shared(one: str, other: str, found: str | None) -> None:
    assert narrower(one, other) == found
    assert narrower(other, one) == found


@pytest.mark.parametrize(
    ("tls", "needed"),
    [
        (SIMPLE, ("shop",)),
        (ServerTls(ServerTlsMode.MUTUAL, ("shop",)), ("shop", "shop-cacert")),
        (ServerTls(ServerTlsMode.OPTIONAL_MUTUAL, ("shop",), "clients"), ("shop", "clients-cacert")),
        (ServerTls(ServerTlsMode.MUTUAL, files=(("a", "b"),), roots_file="c"), ()),
        (ServerTls(ServerTlsMode.PASSTHROUGH), ()),
    ],
)
def test_what_of_the_secrets_directory_is_needed(tls: ServerTls, needed: tuple[str, ...]) -> None:
    assert tls.needed == needed
