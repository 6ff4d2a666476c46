"""What a listener finds out about a connection before it chooses a filter chain: what its listener filters look at.

Source: Envoy, "Listener filters" (TLS inspector, HTTP inspector) and ListenerFilterChainMatchPredicate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.listener.http_inspector import v3 as http_inspector_v3
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector import v3 as tls_inspector_v3

from xds_server.explain.held import config_of
from xds_server.explain.traffic import Connection

TLS, PLAINTEXT = "tls", "raw_buffer"


@dataclass(frozen=True, slots=True)
class Found:
    """What filter chains may match besides addresses; a listener that does not look finds a plain connection.

    Attributes:
        transport: transport_protocol.
        protocols: application protocols, the caller's first choice first.
    """

    transport: str = PLAINTEXT
    server_name: str = ""
    protocols: tuple[str, ...] = ()


def found_by(listener: listener_v3.Listener, connection: Connection) -> Found:
    """What the listener filters of `listener` find out about `connection`."""
    found = Found()
    for each in listener.listener_filters:
        config = config_of(each.typed_config)
        if each.filter_disabled is not None and _holds(each.filter_disabled, connection.port):
            continue
        if isinstance(config, tls_inspector_v3.TlsInspector) and connection.tls:
            found = Found(TLS, connection.server_name.lower(), connection.alpn)
        elif isinstance(config, http_inspector_v3.HttpInspector) and connection.http and found.transport == PLAINTEXT:
            found = replace(found, protocols=(connection.http,))
    return found


def _holds(predicate: listener_v3.ListenerFilterChainMatchPredicate, port: int) -> bool:
    if predicate.or_match is not None:
        return any(_holds(rule, port) for rule in predicate.or_match.rules)
    if predicate.and_match is not None:
        return all(_holds(rule, port) for rule in predicate.and_match.rules)
    if predicate.not_match is not None:
        return not _holds(predicate.not_match, port)
    if predicate.destination_port_range is not None:
        return predicate.destination_port_range.start <= port < predicate.destination_port_range.end
    return bool(predicate.any_match)
