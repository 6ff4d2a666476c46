"""What the author of a localityLbSetting should know: which endpoints its shares leave without requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from xds_server.compiler.finding import Place
from xds_server.compiler.workload_entry import sorted_labels
from xds_server.mesh.service import Labels, Service, labels_match
from xds_server.policy.destination_rule import DestinationRuleSpec, LocalityLoadBalancerSetting, TrafficPolicy
from xds_server.policy.document import Document
from xds_server.problem import Problem


def share_traps(service: Service, documents: Iterable[Document]) -> tuple[Problem, ...]:
    """Localities of the service's endpoints that some `distribute` names nowhere: its callers do not use them."""
    return tuple(
        problem
        for document in documents
        for setting, place, labels in _written(document)
        for problem in _traps(setting, place, labels, service)
    )


def _written(document: Document) -> Iterator[tuple[LocalityLoadBalancerSetting, Place, Labels]]:
    """Each setting of a rule that distributes, with its place and the labels of the endpoints that it is for."""
    spec = cast("DestinationRuleSpec", document.spec)
    policies: list[tuple[TrafficPolicy | None, Place, Mapping[str, str]]] = [
        (spec.traffic_policy, Place(document).at("trafficPolicy"), {})
    ]
    policies += [
        (subset.traffic_policy, Place(document).at("subsets", index, "trafficPolicy"), subset.labels)
        for index, subset in enumerate(spec.subsets)
    ]
    for policy, place, labels in policies:
        setting = _setting(policy)
        if setting is not None and setting.enabled is not False:
            yield setting, place.at("loadBalancer", "localityLbSetting"), sorted_labels(labels)


def _setting(policy: TrafficPolicy | None) -> LocalityLoadBalancerSetting | None:
    return policy.load_balancer.locality_lb_setting if policy and policy.load_balancer else None


def _traps(setting: LocalityLoadBalancerSetting, place: Place, labels: Labels, service: Service) -> Iterator[Problem]:
    there = {endpoint.locality for endpoint in service.endpoints if labels_match(labels, endpoint.labels)}
    for index, rule in enumerate(setting.distribute):
        left = sorted(each for each in there if not any(each.is_under(pattern) for pattern in rule.to))
        if left:
            where = " and ".join(str(each) or "no locality" for each in left)
            yield place.at("distribute", index, "to").warning(
                "locality-without-share",
                f"callers in {rule.from_} do not use the endpoints of {service.host} in {where}: they have no share",
                "give each locality a share, if that is not meant",
            )
