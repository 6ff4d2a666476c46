"""Who takes a connection, captured or not."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from xds_server.explain.listener import listener_for
from xds_server.explain.traffic import Connection
from xds_server.translate.endpoint import address


def listener(host: str, port: int, *, bound: bool = True, hands_on: bool = False) -> listener_v3.Listener:
    return listener_v3.Listener(
        name=f"{host}_{port}",
        address=address(host, port),
        bind_to_port=None if bound else False,
        use_original_dst=hands_on or None,
    )


OUTBOUND = (
    listener("0.0.0.0", 15001, hands_on=True),
    listener("0.0.0.0", 80, bound=False),
    listener("10.0.0.1", 80, bound=False),
    listener("::", 80, bound=False),
)


def taker(connection: Connection, listeners: tuple[listener_v3.Listener, ...] = OUTBOUND) -> str | None:
    found = listener_for(listeners, connection)
    return found.name if found else None


def test_captured_connection_is_handed_to_where_it_was_going() -> None:
    assert taker(Connection("10.0.0.1", 80, captured_by=15001)) == "10.0.0.1_80"
    assert taker(Connection("10.0.0.2", 80, captured_by=15001)) == "0.0.0.0_80"
    assert taker(Connection("fd00::1", 80)) is None
    assert taker(Connection("10.0.0.1", 81, captured_by=15001)) == "0.0.0.0_15001"


def test_capturing_listener_keeps_what_it_is_not_told_to_hand_on() -> None:
    inbound = (listener("0.0.0.0", 15006), listener("0.0.0.0", 80, bound=False))

    assert taker(Connection("10.0.0.1", 80, captured_by=15006), inbound) == "0.0.0.0_15006"


def test_connection_that_is_not_captured_meets_bound_listeners_alone() -> None:
    assert taker(Connection("10.0.0.1", 80)) is None
    assert taker(Connection("127.0.0.1", 80), (listener("127.0.0.1", 80), listener("0.0.0.0", 80))) == "127.0.0.1_80"


def test_listener_for_datagrams_takes_no_connection() -> None:
    where = core_v3.SocketAddress(protocol=core_v3.SocketAddressProtocol.UDP, address="127.0.0.1", port_value=53)
    dns = listener_v3.Listener(name="dns", address=core_v3.Address(socket_address=where))

    assert taker(Connection("127.0.0.1", 53), (dns,)) is None
