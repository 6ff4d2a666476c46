"""Which listener takes a connection: by address, exact before wildcard.

Behind the one that captures it is the address that the connection was going to.
Source: Envoy, "Listeners" and `use_original_dst` of the Listener message.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from xds_server.explain.traffic import Connection


def listener_for(listeners: Iterable[listener_v3.Listener], connection: Connection) -> listener_v3.Listener | None:
    """The listener whose filter chains see `connection`; None when nobody listens where it came."""
    tcp = [each for each in listeners if _socket(each) is not None]
    came_to = connection.port if connection.captured_by is None else connection.captured_by
    accepting = _at(connection.address, came_to, (each for each in tcp if each.bind_to_port is not False))
    if accepting is None or connection.captured_by is None or not accepting.use_original_dst:
        return accepting
    return _at(connection.address, connection.port, tcp) or accepting


def _at(address: str, port: int, listeners: Iterable[listener_v3.Listener]) -> listener_v3.Listener | None:
    """The listener of exactly this address, else of all addresses of its family."""
    wanted = ipaddress.ip_address(address)
    every = ipaddress.ip_address("::" if wanted.version == 6 else "0.0.0.0")  # noqa: S104 - compared, not bound
    by_address = {ipaddress.ip_address(where.address): each for each, where in _on(port, listeners)}
    return by_address.get(wanted) or by_address.get(every)


def _on(
    port: int, listeners: Iterable[listener_v3.Listener]
) -> Iterable[tuple[listener_v3.Listener, core_v3.SocketAddress]]:
    for each in listeners:
        where = _socket(each)
        if where is not None and where.port_value == port:
            yield each, where


def _socket(listener: listener_v3.Listener) -> core_v3.SocketAddress | None:
    where = listener.address.socket_address if listener.address else None
    return where if where and where.protocol is core_v3.SocketAddressProtocol.TCP else None
