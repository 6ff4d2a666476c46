"""How a listener tells connections apart: filter chains, and the listener filters that look at the first bytes.

Envoy's filter chain match never backtracks: once a connection has gone down one branch (say, transport_protocol
raw_buffer), chains on another are not tried any more. So a set of chains must close every branch that it opens, or
leave the rest to the default filter chain, which takes whatever found none.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.listener.http_inspector import v3 as http_inspector_v3
from envoy_data_plane.envoy.extensions.filters.listener.original_dst import v3 as original_dst_v3
from envoy_data_plane.envoy.extensions.filters.listener.proxy_protocol import v3 as proxy_protocol_v3
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector import v3 as tls_inspector_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from xds_server.translate.encode import any_of

HTTP_DETECTED = ("http/1.1", "h2c")
"""What the HTTP inspector calls plain HTTP. HTTP/1.0 is missing on purpose, as in Istio: it is passed on as TCP."""
PLAINTEXT = "raw_buffer"
"""transport_protocol of a connection that the TLS inspector did not find to be TLS."""
DETECTION_TIMEOUT = timedelta(0)
"""Wait for the first bytes for ever. A limit would let a caller get past every HTTP filter by waiting it out."""


def matching(
    filters: Iterable[listener_v3.Filter],
    match: listener_v3.FilterChainMatch | None = None,
    *,
    name: str = "",
    socket: core_v3.TransportSocket | None = None,
) -> listener_v3.FilterChain:
    """A filter chain; without a `match` it takes every connection that no more specific chain takes.

    `socket` is what it reads through; None reads the bytes as they come.
    """
    return listener_v3.FilterChain(name=name, filter_chain_match=match, filters=list(filters), transport_socket=socket)


def cidr_range(text: str) -> core_v3.CidrRange:
    """`text` is "address/length"."""
    prefix, _, length = text.partition("/")
    return core_v3.CidrRange(address_prefix=prefix, prefix_len=int(length))


def http_inspector(declared_ports: Iterable[int] = ()) -> listener_v3.ListenerFilter:
    """Finds out whether a connection speaks HTTP; not on ports whose protocol is declared.

    There it would only hold up protocols in which the server speaks first.
    """
    rules = [_port(number) for number in sorted(set(declared_ports))]
    return listener_v3.ListenerFilter(
        name="envoy.filters.listener.http_inspector",
        typed_config=any_of(http_inspector_v3.HttpInspector()),
        filter_disabled=_any(rules) if rules else None,
    )


def tls_inspector(*, not_on: Iterable[int] = (), only_on: Iterable[int] | None = None) -> listener_v3.ListenerFilter:
    """Finds out whether a connection speaks TLS, and the server name and ALPN that it asks for.

    Where bytes are passed on as they come it must not look: it would hold up protocols in which the server speaks
    first. `not_on` are such ports; with `only_on` all others are.
    """
    rules = [_port(number) for number in sorted(set(not_on if only_on is None else only_on))]
    disabled = _any(rules) if rules else None
    if only_on is not None and disabled is not None:
        disabled = listener_v3.ListenerFilterChainMatchPredicate(not_match=disabled)
    return listener_v3.ListenerFilter(
        name="envoy.filters.listener.tls_inspector",
        typed_config=any_of(tls_inspector_v3.TlsInspector()),
        filter_disabled=disabled,
    )


def proxy_protocol() -> listener_v3.ListenerFilter:
    """Takes a PROXY header off, and whoever it says for the caller; a connection without one is closed."""
    return listener_v3.ListenerFilter(
        name="envoy.filters.listener.proxy_protocol", typed_config=any_of(proxy_protocol_v3.ProxyProtocol())
    )


def original_dst() -> listener_v3.ListenerFilter:
    """Finds out where a connection was going before iptables sent it here."""
    return listener_v3.ListenerFilter(
        name="envoy.filters.listener.original_dst", typed_config=any_of(original_dst_v3.OriginalDst())
    )


def _any(rules: list[listener_v3.ListenerFilterChainMatchPredicate]) -> listener_v3.ListenerFilterChainMatchPredicate:
    if len(rules) == 1:
        return rules[0]
    return listener_v3.ListenerFilterChainMatchPredicate(
        or_match=listener_v3.ListenerFilterChainMatchPredicateMatchSet(rules=rules)
    )


def _port(number: int) -> listener_v3.ListenerFilterChainMatchPredicate:
    return listener_v3.ListenerFilterChainMatchPredicate(
        destination_port_range=type_v3.Int32Range(start=number, end=number + 1)
    )
