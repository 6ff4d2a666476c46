"""How Envoy chooses an endpoint: DestinationRule loadBalancer, but for localities, which `locality.py` decides.

Source: Istio, DestinationRule LoadBalancerSettings; Envoy, Cluster.LbPolicy.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from xds_server.mesh.traffic import LoadBalancer, LoadBalancing, SlowStart, TrafficPolicy, ZoneAware
from xds_server.translate.encode import shared
from xds_server.translate.locality import is_weighted

_POLICIES = {
    LoadBalancing.LEAST_REQUEST: cluster_v3.ClusterLbPolicy.LEAST_REQUEST,
    LoadBalancing.ROUND_ROBIN: cluster_v3.ClusterLbPolicy.ROUND_ROBIN,
    LoadBalancing.RANDOM: cluster_v3.ClusterLbPolicy.RANDOM,
    LoadBalancing.PASSTHROUGH: cluster_v3.ClusterLbPolicy.CLUSTER_PROVIDED,
    LoadBalancing.RING_HASH: cluster_v3.ClusterLbPolicy.RING_HASH,
    LoadBalancing.MAGLEV: cluster_v3.ClusterLbPolicy.MAGLEV,
}


def lb_policy(balancer: LoadBalancer) -> cluster_v3.ClusterLbPolicy:
    """Envoy's name for the policy; what a hash is made of stands in the routes."""
    return _POLICIES[balancer.policy]


def ring_hash_config(balancer: LoadBalancer) -> cluster_v3.ClusterRingHashLbConfig | None:
    """The ring's size, where one was asked for."""
    if balancer.policy is not LoadBalancing.RING_HASH or balancer.ring_size is None:
        return None
    return cluster_v3.ClusterRingHashLbConfig(minimum_ring_size=balancer.ring_size)


def maglev_config(balancer: LoadBalancer) -> cluster_v3.ClusterMaglevLbConfig | None:
    """The table's size, where one was asked for; Envoy takes prime numbers only."""
    if balancer.policy is not LoadBalancing.MAGLEV or balancer.table_size is None:
        return None
    return cluster_v3.ClusterMaglevLbConfig(table_size=balancer.table_size)


def least_request_config(balancer: LoadBalancer) -> cluster_v3.ClusterLeastRequestLbConfig | None:
    """Slow start under LEAST_REQUEST."""
    if balancer.policy is not LoadBalancing.LEAST_REQUEST or balancer.slow_start is None:
        return None
    return cluster_v3.ClusterLeastRequestLbConfig(slow_start_config=_slow_start(balancer.slow_start))


def round_robin_config(balancer: LoadBalancer) -> cluster_v3.ClusterRoundRobinLbConfig | None:
    """Slow start under ROUND_ROBIN."""
    if balancer.policy is not LoadBalancing.ROUND_ROBIN or balancer.slow_start is None:
        return None
    return cluster_v3.ClusterRoundRobinLbConfig(slow_start_config=_slow_start(balancer.slow_start))


def common_lb_config(policy: TrafficPolicy, *, compares_zones: bool = False) -> cluster_v3.ClusterCommonLbConfig:
    """The panic threshold, which Istio always writes (Envoy's default of 50 % would use ejected endpoints again).

    `compares_zones`: the caller knows where its own service's endpoints are. To such a one Envoy would bring zone aware
    routing for every cluster with six endpoints, asked for or not.
    """
    weighted, zone_aware = is_weighted(policy), policy.load_balancer.zone_aware
    return _common_lb_config(policy.min_health_percent, zone_aware, weighted=weighted, compares_zones=compares_zones)


@shared
def _common_lb_config(
    min_health_percent: int, zone_aware: ZoneAware | None, *, weighted: bool, compares_zones: bool
) -> cluster_v3.ClusterCommonLbConfig:
    """One read-only message for all that say the same."""
    return cluster_v3.ClusterCommonLbConfig(
        healthy_panic_threshold=type_v3.Percent(value=min_health_percent),
        locality_weighted_lb_config=cluster_v3.ClusterCommonLbConfigLocalityWeightedLbConfig() if weighted else None,
        zone_aware_lb_config=None if weighted else _zones(zone_aware, compares_zones=compares_zones),
    )


def _zones(
    zones: ZoneAware | None, *, compares_zones: bool
) -> cluster_v3.ClusterCommonLbConfigZoneAwareLbConfig | None:
    if zones is None and not compares_zones:
        return None
    if zones is None or not zones.enabled:
        return cluster_v3.ClusterCommonLbConfigZoneAwareLbConfig(routing_enabled=type_v3.Percent(value=0))
    return cluster_v3.ClusterCommonLbConfigZoneAwareLbConfig(
        routing_enabled=type_v3.Percent(value=100), min_cluster_size=zones.min_cluster_size
    )


def _slow_start(slow_start: SlowStart) -> cluster_v3.ClusterSlowStartConfig:
    return cluster_v3.ClusterSlowStartConfig(
        slow_start_window=slow_start.window,
        aggression=core_v3.RuntimeDouble(default_value=slow_start.aggression),
        min_weight_percent=type_v3.Percent(value=slow_start.minimum_percent),
    )
