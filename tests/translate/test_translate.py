"""A view to everything its proxy is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3

from tests.builders import backend, destination, endpoint, route, service, traffic_rule, virtual_host
from tests.translate.shown import shown
from xds_server.mesh.route import Backend
from xds_server.mesh.service import Endpoint, Locality, Protocol, Resolution
from xds_server.mesh.traffic import LoadBalancer, LocalityLoadBalancing, OutlierDetection, TrafficPolicy
from xds_server.mesh.view import InboundPort, View
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.mesh.workload import Interception
from xds_server.translate.translate import Translator
from xds_server.xds import type_url
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

REVIEWS = backend("reviews", traffic_rule(v1={"version": "v1"}))
RATINGS = backend("ratings")
WEB = InboundPort(8080, Protocol.HTTP, "web", 80, default_endpoint="127.0.0.1:9000")


def view_of(*backends: Backend, hosts: tuple[VirtualHost, ...] | None = None) -> View:
    return View(backends, hosts if hosts is not None else tuple(map(virtual_host, backends)), (WEB,))


def by_name(resources: tuple[Resource, ...]) -> dict[tuple[str, str], Resource]:
    return {(resource.type_url, resource.name): resource for resource in resources}


@pytest.mark.parametrize("interception", Interception)
def test_every_reference_resolves(interception: Interception) -> None:
    view = replace(view_of(RATINGS, REVIEWS), interception=interception, http_proxy_port=15080)

    Snapshot.of(Translator().translate(view)).check()


def test_every_reference_resolves_for_a_caller_that_sees_less_than_the_author() -> None:
    """A Sidecar or exportTo hides the service that a route names."""
    host = virtual_host(RATINGS, replace(route(RATINGS), destinations=(destination(REVIEWS, subset="v1"),)))

    Snapshot.of(Translator().translate(view_of(RATINGS, hosts=(host,)))).check()


def test_nothing_is_made_that_nobody_refers_to() -> None:
    """An orphan is never asked for, and shows in every dump."""
    resources = Translator().translate(view_of(RATINGS, REVIEWS))
    referred = {ref for resource in resources for ref in resource.refs}

    orphans = [r.name for r in resources if r.type_url in {type_url.ENDPOINT, type_url.ROUTE}
               and (r.type_url, r.name) not in referred]  # fmt: skip

    assert orphans == []


def test_editing_a_service_leaves_every_other_resource_as_it_is() -> None:
    translator = Translator()
    others = tuple(backend(service(f"s{n}", port=80 + n)) for n in range(3))
    hosts = tuple(map(virtual_host, others))
    before = by_name(translator.translate(View((*others, RATINGS), (*hosts, virtual_host(RATINGS)))))

    moved = backend(service("ratings", endpoints=(Endpoint("10.9.9.9"),)))
    after = by_name(translator.translate(View((*others, moved), (*hosts, virtual_host(moved)))))

    changed = [name for name, resource in after.items() if resource.version != before[name].version]
    assert changed == [(type_url.ENDPOINT, "outbound|9080||ratings")]
    assert all(after[name] is before[name] for name in after if "ratings" not in name[1] and name[1] != "9080")


def test_remembered_resources_are_those_made_anew() -> None:
    """The memory changes cost and nothing else, whatever came before."""
    translator = Translator()
    views = [view_of(RATINGS, REVIEWS), view_of(REVIEWS), replace(view_of(RATINGS), interception=Interception.NONE)]

    for view in (*views, *reversed(views)):
        assert translator.translate(view) == Translator().translate(view)


def test_where_the_caller_stands_changes_endpoints_and_no_clusters() -> None:
    """Priorities are the caller's; the clusters are shared by all."""
    failing_over = traffic_rule(TrafficPolicy(outlier_detection=OutlierDetection()))
    endpoints = (Endpoint("10.0.0.1", locality=Locality("west")), Endpoint("10.0.0.2", locality=Locality("east")))
    reviews = backend(service("reviews", endpoints=endpoints), failing_over)
    translator, view = Translator(), view_of(reviews)

    west, east = (by_name(translator.translate(replace(view, locality=Locality(at)))) for at in ("west", "east"))

    cluster, endpoint = (type_url.CLUSTER, "outbound|9080||reviews"), (type_url.ENDPOINT, "outbound|9080||reviews")
    assert west[cluster] is east[cluster]
    assert west[endpoint] != east[endpoint]


def test_cluster_that_looks_names_up_depends_on_where_the_caller_stands() -> None:
    """Its endpoints, with their priorities, are inside."""
    failing_over = traffic_rule(TrafficPolicy(outlier_detection=OutlierDetection()))
    endpoints = (Endpoint("a.test", locality=Locality("west")), Endpoint("b.test", locality=Locality("east")))
    reviews = backend(service("reviews", endpoints=endpoints, resolution=Resolution.DNS), failing_over)
    translator, view = Translator(), view_of(reviews)

    west, east = (by_name(translator.translate(replace(view, locality=Locality(at)))) for at in ("west", "east"))

    cluster = (type_url.CLUSTER, "outbound|9080||reviews")
    assert west[cluster] != east[cluster]


def test_failover_priority_puts_endpoints_with_the_callers_label_first() -> None:
    """Each caller its own rack first, though the mesh and all else that they see is the same."""
    policy = TrafficPolicy(
        LoadBalancer(locality=LocalityLoadBalancing(failover_priority=("rack",))), outlier_detection=OutlierDetection()
    )
    near_one, near_two = endpoint("10.0.0.1", rack="one"), endpoint("10.0.0.2", rack="two")
    racked = backend(service(endpoints=(near_one, near_two)), traffic_rule(policy))
    translator = Translator()

    def order(rack: str) -> list[str]:
        resources = by_name(translator.translate(replace(view_of(racked), labels=(("rack", rack),))))
        assignment = endpoint_v3.ClusterLoadAssignment.parse(
            resources[type_url.ENDPOINT, "outbound|9080||reviews"].body
        )
        by_priority = sorted(shown(assignment)["endpoints"], key=lambda group: group.get("priority", 0))
        found = [one["endpoint"] for group in by_priority for one in group["lb_endpoints"]]
        return [one["address"]["socket_address"]["address"] for one in found]

    assert order("one") == ["10.0.0.1", "10.0.0.2"]
    assert order("two") == ["10.0.0.2", "10.0.0.1"]
