"""Which filter chain of a listener takes a connection.

Envoy compares one criterion after the other, in a fixed order. At each it keeps the chains whose value fits best and
drops all others for good, whatever the later criteria would say: it never goes back. What finds no chain is left to
the default one.

Source: Envoy, FilterChainMatch ("The following order applies").
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from xds_server.errors import CannotTell
from xds_server.explain.inspection import Found
from xds_server.explain.traffic import Connection

_Match = listener_v3.FilterChainMatch
_Rank = Callable[[_Match, Connection, Found], "int | None"]
"""How closely a chain fits by one criterion, 0 for one that does not ask; None when it does not fit."""
_EXACTLY = 1 << 16
"""More than any wildcard is long, and than anybody offers protocols."""
_SourceType = listener_v3.FilterChainMatchConnectionSourceType


def filter_chain_for(
    listener: listener_v3.Listener, connection: Connection, found: Found
) -> listener_v3.FilterChain | None:
    """The chain of `listener` that takes `connection`; None when it is closed.

    Raises:
        CannotTell: the listener chooses by a tree of matchers.
    """
    if listener.filter_chain_matcher is not None:
        raise CannotTell(f"listener {listener.name!r} chooses by filter_chain_matcher")
    left = [(chain, chain.filter_chain_match or _Match()) for chain in listener.filter_chains]
    for rank in _IN_ORDER:
        ranks = [rank(match, connection, found) for _, match in left]
        best = max((each for each in ranks if each is not None), default=None)
        left = [each for each, own in zip(left, ranks, strict=True) if own is not None and own == best]
    return left[0][0] if left else listener.default_filter_chain


def _destination_port(match: _Match, connection: Connection, _: Found) -> int | None:
    if match.destination_port is None:
        return 0
    return 1 if match.destination_port == connection.port else None


def _destination(match: _Match, connection: Connection, _: Found) -> int | None:
    return _prefix(match.prefix_ranges, connection.address)


def _server_name(match: _Match, _: Connection, found: Found) -> int | None:
    if not match.server_names:
        return 0
    ranks = (_name_rank(name.lower(), found.server_name) for name in match.server_names)
    return max((rank for rank in ranks if rank is not None), default=None)


def _name_rank(pattern: str, name: str) -> int | None:
    """An exact name before any wildcard, a longer wildcard before a shorter one."""
    if pattern == name:
        return _EXACTLY
    suffix = pattern.removeprefix("*")
    fits = suffix != pattern and name.endswith(suffix) and len(name) > len(suffix)
    return len(suffix) if fits else None


def _transport(match: _Match, _: Connection, found: Found) -> int | None:
    if not match.transport_protocol:
        return 0
    return 1 if match.transport_protocol == found.transport else None


def _application_protocol(match: _Match, _: Connection, found: Found) -> int | None:
    """What the caller would like best decides, not what the chain names first."""
    if not match.application_protocols:
        return 0
    places = [place for place, each in enumerate(found.protocols) if each in match.application_protocols]
    return _EXACTLY - places[0] if places else None


def _source_type(match: _Match, connection: Connection, _: Found) -> int | None:
    if match.source_type is _SourceType.ANY:
        return 0
    wanted = _SourceType.SAME_IP_OR_LOOPBACK if _is_local(connection) else _SourceType.EXTERNAL
    return 1 if match.source_type is wanted else None


def _is_local(connection: Connection) -> bool:
    return ipaddress.ip_address(connection.source).is_loopback or connection.source == connection.address


def _direct_source(match: _Match, connection: Connection, _: Found) -> int | None:
    return _prefix(match.direct_source_prefix_ranges, connection.source)


def _source(match: _Match, connection: Connection, _: Found) -> int | None:
    return _prefix(match.source_prefix_ranges, connection.source)


def _source_port(match: _Match, connection: Connection, _: Found) -> int | None:
    if not match.source_ports:
        return 0
    return 1 if connection.source_port in match.source_ports else None


def _prefix(ranges: Iterable[core_v3.CidrRange], address: str) -> int | None:
    """The length of the longest range around `address`; no ranges are the range of all addresses."""
    where = ipaddress.ip_address(address)
    networks = [ipaddress.ip_network((each.address_prefix, each.prefix_len or 0), strict=False) for each in ranges]
    if not networks:
        return 0
    return max((network.prefixlen for network in networks if where in network), default=None)


_IN_ORDER: tuple[_Rank, ...] = (
    _destination_port,
    _destination,
    _server_name,
    _transport,
    _application_protocol,
    _direct_source,
    _source_type,
    _source,
    _source_port,
)
