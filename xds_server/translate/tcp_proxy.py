"""Bytes passed on as they are: the TCP proxy, for everything that is not routed request by request."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from datetime import timedelta

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.common.set_filter_state import v3 as filter_state_v3
from envoy_data_plane.envoy.extensions.filters.network.set_filter_state import v3 as set_filter_state_v3
from envoy_data_plane.envoy.extensions.filters.network.sni_dynamic_forward_proxy import v3 as sni_v3
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy import v3 as tcp_proxy_v3

from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.route import Backend, ConnectionRoute, Destination
from xds_server.mesh.service import Protocol, Resolution
from xds_server.mesh.telemetry import NO_REPORTS, Reports
from xds_server.mesh.traffic import HashKey, Tunnel
from xds_server.translate import names
from xds_server.translate.access_log import access_logs
from xds_server.translate.client_tls import uses_mesh_tls
from xds_server.translate.dynamic_dns import dns_cache
from xds_server.translate.encode import any_of
from xds_server.translate.hash_policy import tcp_hash_policies
from xds_server.translate.mesh_tls import TCP_INSIDE
from xds_server.translate.stat_name import outbound_stat_name

TCP_PROXY = "envoy.filters.network.tcp_proxy"
SNI_DYNAMIC_FORWARD_PROXY = "envoy.filters.network.sni_dynamic_forward_proxy"
SET_FILTER_STATE = "envoy.filters.network.set_filter_state"


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """Where connections go, and how they are kept; None leaves Envoy's default.

    Attributes:
        cluster: where they go; with `shares`, only what the proxy is called in statistics.
        shares: (cluster, weight), where several take a part of them.
        alpn: what mesh TLS to the cluster is to say is inside, where HTTP shares the cluster; "" as the cluster says.
        looks_up: the port at which the server name that the client asks for is to be found in DNS; 0 for a cluster that
            knows its endpoints.
        tunnel: what the endpoints, HTTP proxies, are asked to connect to.
        stat_name: what the proxy is called in statistics; "" as the cluster.
    """

    cluster: str
    shares: tuple[tuple[str, int], ...] = ()
    idle_timeout: timedelta | None = None
    max_duration: timedelta | None = None
    hash_key: HashKey | None = None
    alpn: str = ""
    looks_up: int = 0
    tunnel: Tunnel | None = None
    stat_name: str = ""


def tcp_target(
    backend: Backend, port: int, trust_domain: TrustDomain | None = None, stat_pattern: str = ""
) -> TcpTarget:
    """One port of a service. Istio takes these settings from the service's own policy, never a port's or subset's.

    Args:
        backend: the service.
        port: its port.
        trust_domain: that of a caller with an identity.
        stat_pattern: MeshConfig's, see `stat_name.py`.
    """
    target = _kept_by(backend, names.outbound_cluster(port, "", backend.service.host), port, stat_pattern)
    alpn = TCP_INSIDE if _shares_mesh_tls(backend, port, "", trust_domain) else ""
    return replace(target, alpn=alpn, tunnel=backend.traffic.tunnel_for(port))


def routed_target(
    route: ConnectionRoute,
    port: int,
    present: Container[Backend],
    trust_domain: TrustDomain | None = None,
    stat_pattern: str = "",
) -> TcpTarget:
    """Where a VirtualService sends connections to `port`; to nowhere what has no cluster among those `present`."""
    shares = tuple((_cluster(each.destination, port, present), each.weight) for each in route.destinations)
    to = route.destinations[0].destination
    origin = route.origin
    called = f"{origin.name}.{origin.namespace}" if origin and len(shares) > 1 else shares[0][0]
    pattern, number = stat_pattern if len(shares) == 1 else "", to.port_on(port)
    known = to.backend if to.backend in present else None
    target = _kept_by(known, called, number, pattern, to.subset) if known else TcpTarget(called)
    says_tcp = any(
        _shares_mesh_tls(one.backend, one.port_on(port), one.subset, trust_domain)
        for one in (each.destination for each in route.destinations)
        if one.backend is not None
    )
    # Of several destinations one tunnel can hold for all: that of the first one's service (Istio's rule).
    subset = to.subset if len(shares) == 1 else ""
    return replace(
        target,
        shares=shares if len(shares) > 1 else (),
        alpn=TCP_INSIDE if says_tcp else "",
        tunnel=known.traffic.tunnel_for(number, subset) if known else None,
    )


def clusters_of(target: TcpTarget) -> tuple[str, ...]:
    """The clusters that connections may go to."""
    return tuple(cluster for cluster, _ in target.shares) or (target.cluster,)


def _cluster(destination: Destination, port: int, present: Container[Backend]) -> str:
    if destination.backend not in present or not destination.exists_on(port):
        return names.BLACK_HOLE_CLUSTER
    return names.outbound_cluster(destination.port_on(port), destination.subset, destination.host)


def _kept_by(backend: Backend, cluster: str, number: int, stat_pattern: str, subset: str = "") -> TcpTarget:
    policy, port = backend.traffic.policies.default, backend.service.port_by_number.get(number)
    looks_up = backend.service.resolution is Resolution.DYNAMIC_DNS and port is not None
    return TcpTarget(
        cluster=cluster,
        idle_timeout=policy.connection_pool.tcp_idle_timeout,
        max_duration=policy.connection_pool.max_connection_duration,
        hash_key=policy.load_balancer.hash_key,
        looks_up=(port.target_port or number) if looks_up and port else 0,
        stat_name=outbound_stat_name(stat_pattern, backend.service, port, subset) if stat_pattern and port else "",
    )


def _shares_mesh_tls(backend: Backend, number: int, subset: str, trust_domain: TrustDomain | None) -> bool:
    """Whether mesh TLS goes to a cluster that HTTP and other bytes share, which says that HTTP is inside."""
    port = backend.service.port_by_number.get(number)
    detected = port is not None and port.protocol is Protocol.AUTO
    return detected and port is not None and uses_mesh_tls(backend, port, subset, trust_domain)


def tcp_filters(target: TcpTarget, reports: Reports = NO_REPORTS) -> list[listener_v3.Filter]:
    """The network filters that pass a connection on to `target`."""
    first = [*([_says(target.alpn)] if target.alpn else []), *([_looks_up(target.looks_up)] if target.looks_up else [])]
    return [*first, tcp_proxy(target, reports)]


def tcp_proxy(target: TcpTarget, reports: Reports = NO_REPORTS) -> listener_v3.Filter:
    """The network filter that passes a connection on to `target`; in statistics it is called as its cluster is."""
    config = tcp_proxy_v3.TcpProxy(
        stat_prefix=target.stat_name or target.cluster,
        cluster=None if target.shares else target.cluster,
        weighted_clusters=_weighted(target.shares) if target.shares else None,
        idle_timeout=target.idle_timeout,
        max_downstream_connection_duration=target.max_duration,
        hash_policy=tcp_hash_policies(target.hash_key),
        access_log=access_logs(reports),
        tunneling_config=_tunneling(target.tunnel) if target.tunnel else None,
    )
    return listener_v3.Filter(name=TCP_PROXY, typed_config=any_of(config))


def _tunneling(tunnel: Tunnel) -> tcp_proxy_v3.TcpProxyTunnelingConfig:
    return tcp_proxy_v3.TcpProxyTunnelingConfig(hostname=f"{tunnel.host}:{tunnel.port}", use_post=tunnel.post)


def _weighted(shares: tuple[tuple[str, int], ...]) -> tcp_proxy_v3.TcpProxyWeightedCluster:
    return tcp_proxy_v3.TcpProxyWeightedCluster(
        clusters=[
            tcp_proxy_v3.TcpProxyWeightedClusterClusterWeight(name=name, weight=weight) for name, weight in shares
        ]
    )


def _looks_up(port: int) -> listener_v3.Filter:
    """Finds the server name of a TLS connection in DNS, for the cluster behind it to send to."""
    config = sni_v3.FilterConfig(dns_cache_config=dns_cache(), port_value=port)
    return listener_v3.Filter(name=SNI_DYNAMIC_FORWARD_PROXY, typed_config=any_of(config))


def _says(alpn: str) -> listener_v3.Filter:
    """Lets mesh TLS offer `alpn` for this connection, whatever its cluster offers (Envoy: well-known filter state)."""
    value = filter_state_v3.FilterStateValue(
        object_key="envoy.network.application_protocols",
        format_string=core_v3.SubstitutionFormatString(
            text_format_source=core_v3.DataSource(inline_string=alpn),
        ),
        shared_with_upstream=filter_state_v3.FilterStateValueSharedWithUpstream.ONCE,
    )
    config = set_filter_state_v3.Config(on_new_connection=[value])
    return listener_v3.Filter(name=SET_FILTER_STATE, typed_config=any_of(config))
