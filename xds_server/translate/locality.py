"""Which endpoints stand together and in what order they are used: DestinationRule localityLbSetting.

Decided here, for one caller, because Envoy only knows priorities and weights. Knows no Envoy message.
Source: Istio, Locality Load Balancing, and pilot/pkg/networking/core/loadbalancer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS, ProxySettings
from xds_server.mesh.service import Endpoint, Labels, Locality
from xds_server.mesh.traffic import LocalityLoadBalancing, TrafficPolicy, ZoneAware

_LOCALITY_PRIORITIES = 5
"""Same sub-zone, same zone, same region, the region that failover names (or any other), all the rest."""


@dataclass(frozen=True, slots=True)
class Caller:
    """What of the calling proxy makes a difference to what it is told of others.

    Attributes:
        locality: where it stands.
        labels: its own, as far as some failoverPriority asks for them.
        trust_domain: where it has an identity; None when it has none.
        credentials: names in the secrets directory that it is given.
        settings: those of every proxy.
        compares_zones: it knows where its own service's endpoints are.
    """

    locality: Locality = Locality()
    labels: Labels = ()
    trust_domain: TrustDomain | None = None
    credentials: frozenset[str] = frozenset()
    settings: ProxySettings = ISTIO_SETTINGS
    compares_zones: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints of one locality that are used together: priority 0 first, priorities without a gap."""

    priority: int
    locality: Locality
    weight: int
    endpoints: tuple[Endpoint, ...]


def groups(endpoints: Iterable[Endpoint], policy: TrafficPolicy, caller: Caller) -> tuple[Group, ...]:
    """`endpoints` by priority and locality, sorted.

    Failover needs outlier detection, for without it nothing ever tells Envoy that a priority has failed (Istio's rule).
    Under `distribute` a locality that no `to` names gets nothing.
    """
    setting, zones = policy.load_balancer.locality, policy.load_balancer.zone_aware
    if zones is not None and zones.enabled:
        return _grouped([(_region_priority(endpoint, zones, caller), endpoint) for endpoint in endpoints])
    if setting is None:
        return _grouped([(0, endpoint) for endpoint in endpoints])
    if setting.distribute:
        return _distributed(_grouped([(0, endpoint) for endpoint in endpoints]), setting, caller.locality)
    if policy.outlier_detection is None:
        return _grouped([(0, endpoint) for endpoint in endpoints])
    return _grouped([(_priority(endpoint, setting, caller), endpoint) for endpoint in endpoints])


def is_weighted(policy: TrafficPolicy) -> bool:
    """Whether Envoy must heed the weights of localities; it then balances requests between them by weight first."""
    setting = policy.load_balancer.locality
    if setting is None:
        return False
    fails_over = bool(setting.failover or setting.failover_priority) and policy.outlier_detection is not None
    return bool(setting.distribute) or fails_over


def _grouped(ranked: Sequence[tuple[int, Endpoint]]) -> tuple[Group, ...]:
    used = sorted({priority for priority, _ in ranked})
    together: dict[tuple[int, Locality], list[Endpoint]] = {}
    for priority, endpoint in ranked:
        together.setdefault((used.index(priority), endpoint.locality), []).append(endpoint)
    return tuple(
        Group(priority, locality, sum(endpoint.weight for endpoint in members), tuple(sorted(members)))
        for (priority, locality), members in sorted(together.items())
    )


def _region_priority(endpoint: Endpoint, zones: ZoneAware, caller: Caller) -> int:
    """The caller's own region first, whole: its zones are Envoy's to weigh. Failover orders others (Istio's rule)."""
    ours, theirs = caller.locality.region, endpoint.locality.region
    if theirs == ours:
        return 0
    wanted = dict(zones.failover).get(ours)
    by_region = 0 if wanted in {None, theirs} else 1
    return 1 + _label_priority(endpoint, zones.failover_priority, caller) * 2 + by_region


def _priority(endpoint: Endpoint, setting: LocalityLoadBalancing, caller: Caller) -> int:
    """By labels, by locality, or by labels and then by locality where both were asked for."""
    by_labels = _label_priority(endpoint, setting.failover_priority, caller)
    if setting.failover_priority and not setting.failover:
        return by_labels
    return by_labels * _LOCALITY_PRIORITIES + _locality_priority(endpoint.locality, setting, caller.locality)


def _label_priority(endpoint: Endpoint, keys: Sequence[str], caller: Caller) -> int:
    """0 when all labels agree with the caller's (or with the value named), more the sooner one differs."""
    theirs = _labels(endpoint.labels, endpoint.locality)
    ours = _labels(caller.labels, caller.locality)
    for position, key in enumerate(keys):
        label, named, value = key.partition("=")
        wanted = value if named else ours.get(label, "")
        if theirs.get(label, "") != wanted:
            return len(keys) - position
    return 0


def _labels(labels: Labels, locality: Locality) -> dict[str, str]:
    """Labels, with the topology labels that a locality implies (Istio adds them to every endpoint and proxy)."""
    return {
        "topology.kubernetes.io/region": locality.region,
        "topology.kubernetes.io/zone": locality.zone,
        "topology.istio.io/subzone": locality.sub_zone,
    } | dict(labels)


def _locality_priority(theirs: Locality, setting: LocalityLoadBalancing, ours: Locality) -> int:
    if theirs == ours:
        return 0
    if (theirs.region, theirs.zone) == (ours.region, ours.zone):
        return 1
    if theirs.region == ours.region:
        return 2
    wanted = dict(setting.failover).get(ours.region)
    return 3 if wanted in {None, theirs.region} else 4


def _distributed(found: tuple[Group, ...], setting: LocalityLoadBalancing, ours: Locality) -> tuple[Group, ...]:
    for rule in setting.distribute:
        if ours.is_under(rule.from_locality):
            return tuple(sorted(_shared(found, rule.to), key=lambda group: group.locality))
    return found


def _shared(found: Sequence[Group], to: Iterable[tuple[str, int]]) -> Iterator[Group]:
    """Each group that some `to` names, the first that does, with its part of that percentage as weight."""
    left = list(found)
    for pattern, percent in to:
        mine = [group for group in left if group.locality.is_under(pattern)]
        left = [group for group in left if group not in mine]
        total = sum(group.weight for group in mine)
        for group in mine:
            yield replace(group, weight=math.ceil(group.weight * percent / total))
