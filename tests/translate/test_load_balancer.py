from __future__ import annotations

from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import ClusterLbPolicy

from xds_server.mesh.traffic import (
    LoadBalancer,
    LoadBalancing,
    LocalityDistribute,
    LocalityLoadBalancing,
    SlowStart,
    TrafficPolicy,
    ZoneAware,
)
from xds_server.translate.load_balancer import (
    common_lb_config,
    lb_policy,
    least_request_config,
    maglev_config,
    ring_hash_config,
    round_robin_config,
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (LoadBalancing.LEAST_REQUEST, ClusterLbPolicy.LEAST_REQUEST),
        (LoadBalancing.ROUND_ROBIN, ClusterLbPolicy.ROUND_ROBIN),
        (LoadBalancing.RANDOM, ClusterLbPolicy.RANDOM),
        (LoadBalancing.RING_HASH, ClusterLbPolicy.RING_HASH),
        (LoadBalancing.MAGLEV, ClusterLbPolicy.MAGLEV),
        (LoadBalancing.PASSTHROUGH, ClusterLbPolicy.CLUSTER_PROVIDED),
    ],
)
def test_every_policy_has_envoys_name(asked: LoadBalancing, expected: ClusterLbPolicy) -> None:
    assert lb_policy(LoadBalancer(asked)) is expected


def test_least_request_is_the_default() -> None:
    """Istio's, since 1.14; Envoy's own is round robin."""
    assert lb_policy(LoadBalancer()) is ClusterLbPolicy.LEAST_REQUEST


def test_a_ring_or_table_size_is_written_only_where_asked_for() -> None:
    ring = ring_hash_config(LoadBalancer(LoadBalancing.RING_HASH, ring_size=2048))
    table = maglev_config(LoadBalancer(LoadBalancing.MAGLEV, table_size=65537))

    assert ring is not None
    assert ring.minimum_ring_size == 2048
    assert table is not None
    assert table.table_size == 65537
    assert ring_hash_config(LoadBalancer(LoadBalancing.RING_HASH)) is None
    assert maglev_config(LoadBalancer(LoadBalancing.MAGLEV)) is None


def test_slow_start_goes_to_the_policy_in_use_and_to_no_other() -> None:
    """The configs share a oneof in Cluster: two of them would be refused."""
    slow_start = SlowStart(timedelta(seconds=30), minimum_percent=20, aggression=2)
    least = LoadBalancer(slow_start=slow_start)
    found = least_request_config(least)

    assert found is not None
    assert found.slow_start_config is not None
    assert found.slow_start_config.slow_start_window == timedelta(seconds=30)
    assert found.slow_start_config.min_weight_percent is not None
    assert found.slow_start_config.min_weight_percent.value == 20
    assert found.slow_start_config.aggression is not None
    assert found.slow_start_config.aggression.default_value == 2
    assert round_robin_config(least) is None
    assert round_robin_config(LoadBalancer(LoadBalancing.ROUND_ROBIN, slow_start=slow_start)) is not None


def test_panic_is_off_unless_a_minimum_health_is_asked_for() -> None:
    """Envoy's default would send to ejected endpoints again once half of them are."""
    off, on = common_lb_config(TrafficPolicy()), common_lb_config(TrafficPolicy(min_health_percent=30))

    assert off.healthy_panic_threshold is not None
    assert off.healthy_panic_threshold.value == 0
    assert on.healthy_panic_threshold is not None
    assert on.healthy_panic_threshold.value == 30


def test_locality_weights_are_heeded_only_where_localities_were_spoken_of() -> None:
    """They would else come before the load balancer: least request would no longer see all endpoints."""
    shares = LocalityLoadBalancing(distribute=(LocalityDistribute("us/*", (("us/*", 100),)),))

    assert common_lb_config(TrafficPolicy()).locality_weighted_lb_config is None
    assert common_lb_config(TrafficPolicy(LoadBalancer(locality=shares))).locality_weighted_lb_config is not None


@pytest.mark.parametrize(
    ("zones", "compares", "percent"),
    [
        (None, False, None),
        (None, True, 0),  # Envoy would else heed zones for every cluster of six
        (ZoneAware(enabled=False), False, 0),
        (ZoneAware(), False, 100),
        (ZoneAware(), True, 100),
    ],
)
def test_zones_are_heeded_where_they_were_asked_for(
    zones: ZoneAware | None, *, compares: bool, percent: int | None
) -> None:
    policy = TrafficPolicy(LoadBalancer(locality=None, zone_aware=zones))

    found = common_lb_config(policy, compares_zones=compares).zone_aware_lb_config

    if percent is None:
        assert found is None
    else:
        assert found is not None
        assert found.routing_enabled is not None
        assert found.routing_enabled.value == percent


def test_shares_by_locality_leave_no_zones_to_heed() -> None:
    shares = LocalityLoadBalancing(distribute=(LocalityDistribute("us/*", (("us/*", 100),)),))

    found = common_lb_config(TrafficPolicy(LoadBalancer(locality=shares)), compares_zones=True)
    assert found.zone_aware_lb_config is None
