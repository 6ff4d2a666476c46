"""Bytes passed on as they are: the TCP proxy, for everything that is not routed request by request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy import v3 as tcp_proxy_v3

from xds_server.mesh.route import Backend
from xds_server.mesh.traffic import HashKey
from xds_server.translate import names
from xds_server.translate.encode import any_of
from xds_server.translate.hash_policy import tcp_hash_policies

TCP_PROXY = "envoy.filters.network.tcp_proxy"


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """Where connections go, and how they are kept; None leaves Envoy's default."""

    cluster: str
    idle_timeout: timedelta | None = None
    max_duration: timedelta | None = None
    hash_key: HashKey | None = None


def tcp_target(backend: Backend, port: int) -> TcpTarget:
    """One port of a service. Istio takes these settings from the service's own policy, never a port's or subset's."""
    policy = backend.traffic.policies.default
    return TcpTarget(
        cluster=names.outbound_cluster(port, "", backend.service.host),
        idle_timeout=policy.connection_pool.tcp_idle_timeout,
        max_duration=policy.connection_pool.max_connection_duration,
        hash_key=policy.load_balancer.hash_key,
    )


def tcp_proxy(target: TcpTarget) -> listener_v3.Filter:
    """The network filter that passes a connection on to `target`; in statistics it is called as its cluster is."""
    config = tcp_proxy_v3.TcpProxy(
        stat_prefix=target.cluster,
        cluster=target.cluster,
        idle_timeout=target.idle_timeout,
        max_downstream_connection_duration=target.max_duration,
        hash_policy=tcp_hash_policies(target.hash_key),
    )
    return listener_v3.Filter(name=TCP_PROXY, typed_config=any_of(config))
