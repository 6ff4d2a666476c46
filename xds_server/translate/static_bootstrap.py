"""Units as a static bootstrap, which is all that `envoy --mode validate` looks at; discovery it passes over in silence.

Endpoints stand inside their clusters, and virtual hosts inside listeners made for them. Put together from ready bytes:
a thousand services take milliseconds, not the seconds of parsing and encoding them again. No secret is ever part of
it: Envoy prints what it refuses, and validate mode crashes on a cluster whose secrets come by ADS, so the references
to secrets are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.transport_sockets.proxy_protocol import v3 as proxy_protocol_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from xds_server.translate.encode import encode, length_delimited, type_url_of
from xds_server.translate.endpoint import address
from xds_server.translate.http_connection_manager import HTTP_CONNECTION_MANAGER
from xds_server.translate.http_filters import http_filters
from xds_server.translate.rewrite import Rewrite, in_any, in_message, left_out, rewritten
from xds_server.translate.route_configuration import route_configuration
from xds_server.translate.unit import Unit, UnitKind

_NAME, _ADDRESS, _FILTER_CHAINS = 1, 2, 3
"""Of Listener; the first is Cluster's too. A field written once more is overridden: the last occurrence counts."""
_STATIC_TYPE = b"\x10\x00"
"""Cluster.type (2), the varint STATIC (0)."""
_EDS_CLUSTER_CONFIG, _LOAD_ASSIGNMENT = 3, 33
_TRANSPORT_SOCKET, _TRANSPORT_SOCKET_MATCHES = 24, 43
_FILTERS, _TYPED_CONFIG, _ROUTE_CONFIG = 3, 4, 4
"""Of FilterChain, Filter and HttpConnectionManager."""
_LISTENERS, _CLUSTERS = 1, 2
"""Of Bootstrap.static_resources (2)."""


def static_bootstrap(units: Iterable[Unit]) -> bytes:
    """A serialised envoy.config.bootstrap.v3.Bootstrap that holds `units`, for a file named `*.pb`.

    Whatever several views call by one name stands under names and addresses of its own. Routes may name clusters that
    are not there: that they resolve is `Snapshot.check`'s to say. Some tracers may not: what a listener needs is there.
    """
    by_kind: dict[UnitKind, list[Unit]] = {kind: [] for kind in UnitKind}
    for unit in units:
        by_kind[unit.kind].append(unit)
    resources = [
        *(length_delimited(_LISTENERS, listener) for listener in _listeners(by_kind[UnitKind.LISTENER])),
        *(length_delimited(_LISTENERS, listener) for listener in _route_listeners(by_kind[UnitKind.VIRTUAL_HOST])),
        *(length_delimited(_CLUSTERS, cluster) for cluster in _clusters(by_kind[UnitKind.CLUSTER])),
        *(length_delimited(_CLUSTERS, cluster) for cluster in _stand_ins(by_kind)),
    ]
    return _NODE + length_delimited(2, b"".join(resources))


def _clusters(units: Iterable[Unit]) -> Iterator[bytes]:
    seen: Counter[str] = Counter()
    for unit in units:
        body = rewritten(unit.body, _CLUSTER_REWRITES)
        if unit.endpoints is not None:
            body += _STATIC_TYPE + length_delimited(_LOAD_ASSIGNMENT, unit.endpoints)
        seen[unit.name] += 1
        yield body if seen[unit.name] == 1 else body + _again(unit.name, seen[unit.name])


def _stand_ins(by_kind: Mapping[UnitKind, Iterable[Unit]]) -> Iterator[bytes]:
    """Clusters by name alone, for listeners that need one which is not asked about now."""
    needed = {name for unit in by_kind[UnitKind.LISTENER] for name in unit.needs}
    for name in sorted(needed - {unit.name for unit in by_kind[UnitKind.CLUSTER]}):
        yield encode(cluster_v3.Cluster(name=name))


def _listeners(units: Iterable[Unit]) -> Iterator[bytes]:
    seen: Counter[str] = Counter()
    for number, unit in enumerate(units):
        seen[unit.name] += 1
        if seen[unit.name] == 1:
            yield unit.body
        else:
            elsewhere = length_delimited(_ADDRESS, encode(_own_address(1, number)))
            yield unit.body + _again(unit.name, seen[unit.name]) + elsewhere


def _again(name: str, count: int) -> bytes:
    return length_delimited(_NAME, f"{name}#{count}".encode())


def _route_listeners(units: Iterable[Unit]) -> Iterator[bytes]:
    groups: dict[str, list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.group, []).append(unit)
    for number, group in enumerate(groups.values()):
        yield _route_listener(number, group)


def _route_listener(number: int, group: Iterable[Unit]) -> bytes:
    routes = _ROUTES + b"".join(unit.body for unit in group)
    manager = _MANAGER + length_delimited(_ROUTE_CONFIG, routes)
    any_manager = length_delimited(1, _MANAGER_TYPE.encode()) + length_delimited(2, manager)
    http = length_delimited(_NAME, HTTP_CONNECTION_MANAGER.encode()) + length_delimited(_TYPED_CONFIG, any_manager)
    listener = encode(listener_v3.Listener(name=f"routes#{number}", address=_own_address(2, number)))
    return listener + length_delimited(_FILTER_CHAINS, length_delimited(_FILTERS, http))


def _own_address(block: int, number: int) -> core_v3.Address:
    """An address that no other listener has; nothing is bound in validate mode."""
    return address(f"127.{block}.{number >> 8 & 0xFF}.{number & 0xFF}", 1 + (number >> 16))


# The Bootstrap class itself stays out of this: making it ready takes a quarter of a second of each start.
_NODE = length_delimited(1, encode(core_v3.Node(id="validate", cluster="validate")))
_ROUTES = route_configuration("validate", ()).body
_MANAGER = encode(hcm_v3.HttpConnectionManager(stat_prefix="validate", http_filters=http_filters()))
_MANAGER_TYPE = type_url_of(hcm_v3.HttpConnectionManager)
_WITHOUT_SECRETS = in_message({1: in_message(dict.fromkeys((6, 7, 8), left_out))})
"""UpstreamTlsContext.common_tls_context: what it takes from SDS, which validate mode cannot have."""
_TLS = {type_url_of(tls_v3.UpstreamTlsContext): _WITHOUT_SECRETS}
_SOCKET = in_message({3: in_any(_TLS)})
"""TransportSocket.typed_config."""
_WRAPPED = {type_url_of(proxy_protocol_v3.ProxyProtocolUpstreamTransport): in_message({2: _SOCKET})}
_ANY_SOCKET = in_message({3: in_any(_TLS | _WRAPPED)})
_CLUSTER_REWRITES: dict[int, Rewrite] = {
    _EDS_CLUSTER_CONFIG: left_out,
    _TRANSPORT_SOCKET: _ANY_SOCKET,
    _TRANSPORT_SOCKET_MATCHES: in_message({3: _ANY_SOCKET}),
}
