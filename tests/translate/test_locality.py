from __future__ import annotations

import pytest

from xds_server.mesh.service import Endpoint, Labels, Locality
from xds_server.mesh.traffic import (
    LoadBalancer,
    LocalityDistribute,
    LocalityLoadBalancing,
    OutlierDetection,
    TrafficPolicy,
    ZoneAware,
)
from xds_server.translate.locality import Caller, groups, is_weighted

HERE = Locality("us", "a", "1")
CALLER = Caller(HERE)
SAME, SAME_ZONE, SAME_REGION, EUROPE, ASIA = (
    HERE,
    Locality("us", "a", "2"),
    Locality("us", "b", "1"),
    Locality("eu", "a", "1"),
    Locality("asia", "a", "1"),
)
EVERYWHERE = tuple(
    Endpoint(f"10.0.0.{number}", locality=place)
    for number, place in enumerate((SAME, SAME_ZONE, SAME_REGION, EUROPE, ASIA), start=1)
)


def policy(setting: LocalityLoadBalancing | None, *, ejecting: bool = True) -> TrafficPolicy:
    return TrafficPolicy(LoadBalancer(locality=setting), outlier_detection=OutlierDetection() if ejecting else None)


def priorities(
    endpoints: tuple[Endpoint, ...], setting: LocalityLoadBalancing | None, caller: Caller = CALLER
) -> dict[str, int]:
    """Priority by address."""
    found = groups(endpoints, policy(setting), caller)
    return {endpoint.address: group.priority for group in found for endpoint in group.endpoints}


def labelled(address: str, **labels: str) -> Endpoint:
    return Endpoint(address, labels=tuple(sorted(labels.items())))


def test_endpoints_of_one_locality_stand_together_with_their_weights_summed() -> None:
    endpoints = (Endpoint("10.0.0.2", weight=2, locality=HERE), Endpoint("10.0.0.1", locality=HERE), EVERYWHERE[3])

    europe, here = groups(endpoints, TrafficPolicy(), CALLER)

    assert (europe.locality, europe.weight) == (EUROPE, 1)
    assert (here.locality, here.weight) == (HERE, 3)
    assert [endpoint.address for endpoint in here.endpoints] == ["10.0.0.1", "10.0.0.2"]


def test_the_order_of_endpoints_changes_nothing() -> None:
    setting = policy(LocalityLoadBalancing())

    assert groups(EVERYWHERE, setting, CALLER) == groups(reversed(EVERYWHERE), setting, CALLER)


def test_the_nearest_endpoints_come_first() -> None:
    """Same sub-zone, same zone, same region, anywhere else."""
    assert list(priorities(EVERYWHERE, LocalityLoadBalancing()).values()) == [0, 1, 2, 3, 3]


def test_priorities_have_no_gap() -> None:
    """Envoy refuses one."""
    assert list(priorities(EVERYWHERE[2:], LocalityLoadBalancing()).values()) == [0, 1, 1]


def test_failover_names_the_region_that_comes_before_the_others() -> None:
    found = priorities(EVERYWHERE, LocalityLoadBalancing(failover=(("us", "asia"),)))

    assert found == {"10.0.0.1": 0, "10.0.0.2": 1, "10.0.0.3": 2, "10.0.0.5": 3, "10.0.0.4": 4}


def test_failover_for_another_region_does_not_concern_the_caller() -> None:
    assert list(priorities(EVERYWHERE, LocalityLoadBalancing(failover=(("eu", "us"),))).values()) == [0, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("setting", "ejecting"), [(LocalityLoadBalancing(), False), (None, True)], ids=["no ejection", "switched off"]
)
def test_without_outlier_detection_or_the_setting_all_endpoints_are_equal(
    setting: LocalityLoadBalancing | None, *, ejecting: bool
) -> None:
    """Without ejection Envoy would never leave the first priority (Istio's rule)."""
    assert {group.priority for group in groups(EVERYWHERE, policy(setting, ejecting=ejecting), CALLER)} == {0}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ((("network", "n1"), ("version", "v1")), [0, 1, 2]),
        ((("network", "n1"), ("version", "v2")), [1, 0, 2]),
        ((("network", "n2"), ("version", "v1")), [1, 1, 0]),
    ],
)
def test_failover_priority_counts_the_labels_shared_from_the_first(labels: Labels, expected: list[int]) -> None:
    endpoints = (
        labelled("10.0.0.1", network="n1", version="v1"),
        labelled("10.0.0.2", network="n1", version="v2"),
        labelled("10.0.0.3", network="n2", version="v1"),
    )

    found = priorities(
        endpoints, LocalityLoadBalancing(failover_priority=("network", "version")), Caller(labels=labels)
    )

    assert list(dict(sorted(found.items())).values()) == expected


def test_failover_priority_may_name_the_value_instead_of_the_callers() -> None:
    endpoints = (labelled("10.0.0.1", version="v1"), labelled("10.0.0.2", version="v2"))

    assert priorities(endpoints, LocalityLoadBalancing(failover_priority=("version=v2",))) == {
        "10.0.0.2": 0,
        "10.0.0.1": 1,
    }


def test_failover_priority_reads_topology_labels_from_localities() -> None:
    """Istio gives every workload the labels that its locality implies."""
    keys = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")

    assert list(priorities(EVERYWHERE, LocalityLoadBalancing(failover_priority=keys)).values()) == [0, 1, 2, 3, 3]


def test_failover_orders_what_failover_priority_left_equal() -> None:
    near, far = Endpoint("10.0.0.1", locality=SAME), Endpoint("10.0.0.2", locality=EUROPE)
    wanted = Endpoint("10.0.0.3", locality=ASIA, labels=(("version", "v2"),))
    setting = LocalityLoadBalancing(failover=(("us", "eu"),), failover_priority=("version=v2",))

    assert priorities((near, far, wanted), setting) == {"10.0.0.3": 0, "10.0.0.1": 1, "10.0.0.2": 2}


def test_distribute_gives_localities_their_shares_and_the_others_nothing() -> None:
    rule = LocalityDistribute("us/a/*", (("us/a", 80), ("eu/*", 20)))

    found = groups(EVERYWHERE, policy(LocalityLoadBalancing((rule,)), ejecting=False), CALLER)

    assert [(str(group.locality), group.weight) for group in found] == [("eu/a/1", 20), ("us/a/1", 40), ("us/a/2", 40)]


def test_a_share_is_split_by_weight_and_rounded_up() -> None:
    """Rounded down, a small locality under a wildcard would get weight 0, which Envoy refuses."""
    endpoints = (Endpoint("10.0.0.1", locality=SAME, weight=100), Endpoint("10.0.0.2", locality=SAME_ZONE))
    rule = LocalityDistribute("*", (("us/*", 50),))

    found = groups(endpoints, policy(LocalityLoadBalancing((rule,))), CALLER)

    assert [group.weight for group in found] == [50, 1]


def test_distribute_from_elsewhere_does_not_concern_the_caller() -> None:
    rule = LocalityDistribute("eu/*", (("eu/*", 100),))

    assert len(groups(EVERYWHERE, policy(LocalityLoadBalancing((rule,))), CALLER)) == 5


@pytest.mark.parametrize(
    ("setting", "ejecting", "expected"),
    [
        (LocalityLoadBalancing(), True, False),
        (LocalityLoadBalancing(failover=(("us", "eu"),)), True, True),
        (LocalityLoadBalancing(failover=(("us", "eu"),)), False, False),
        (LocalityLoadBalancing(failover_priority=("version",)), True, True),
        (LocalityLoadBalancing((LocalityDistribute("*", (("*", 100),)),)), False, True),
        (None, True, False),
    ],
)
def test_weights_matter_under_distribute_and_under_failover_that_was_asked_for(
    setting: LocalityLoadBalancing | None, *, ejecting: bool, expected: bool
) -> None:
    assert is_weighted(policy(setting, ejecting=ejecting)) is expected


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        (ZoneAware(), [0, 0, 0, 1, 1]),
        (ZoneAware(failover=(("us", "asia"),)), [0, 0, 0, 2, 1]),
        (ZoneAware(failover=(("eu", "asia"),)), [0, 0, 0, 1, 1]),
        (ZoneAware(enabled=False), [0, 0, 0, 0, 0]),
    ],
)
def test_zones_leave_the_own_region_whole_and_failover_orders_the_others(zones: ZoneAware, expected: list[int]) -> None:
    """Without outlier detection too."""
    found = groups(EVERYWHERE, TrafficPolicy(LoadBalancer(locality=None, zone_aware=zones)), CALLER)

    priority = {endpoint.address: group.priority for group in found for endpoint in group.endpoints}
    assert [priority[endpoint.address] for endpoint in EVERYWHERE] == expected


def test_labels_order_other_regions_and_never_the_own_one() -> None:
    caller = Caller(HERE, labels=(("rack", "1"),))
    endpoints = tuple(
        Endpoint(f"10.0.0.{number}", labels=(("rack", rack),), locality=place)
        for number, (rack, place) in enumerate([("2", SAME), ("1", EUROPE), ("2", ASIA)])
    )
    zones = LoadBalancer(locality=None, zone_aware=ZoneAware(failover_priority=("rack",)))

    found = groups(endpoints, TrafficPolicy(zones), caller)

    assert [(group.priority, group.locality) for group in found] == [(0, SAME), (1, EUROPE), (2, ASIA)]
