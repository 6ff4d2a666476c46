"""RouteConfigurations of a view."""

from __future__ import annotations

from dataclasses import replace

from envoy_data_plane.envoy.config.route import v3 as route_v3

from tests.builders import backend, destination, route, service, traffic_rule, virtual_host
from xds_server.mesh.proxy_settings import ProxyHeaders
from xds_server.mesh.route import Backend, Match
from xds_server.mesh.service import Port, Protocol, Resolution, Service
from xds_server.mesh.traffic import TrafficRule
from xds_server.mesh.view import Source, View
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.mesh.workload import Interception
from xds_server.problem import Origin
from xds_server.translate import names
from xds_server.translate.route_configuration import RouteTranslator
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

REVIEWS, RATINGS = backend("reviews"), backend("ratings")
ALL = frozenset({"outbound|9080||reviews", "outbound|9080||ratings", "outbound|9080|v1|reviews"})


def resource(view: View, name: str = "9080", clusters: frozenset[str] = ALL) -> Resource:
    (found,) = RouteTranslator().route_configurations(view, {name}, clusters)
    return found


def parsed(view: View, name: str = "9080", clusters: frozenset[str] = ALL) -> route_v3.RouteConfiguration:
    return route_v3.RouteConfiguration.parse(resource(view, name, clusters).body)


def domains(configuration: route_v3.RouteConfiguration) -> dict[str, list[str]]:
    return {host.name: host.domains for host in configuration.virtual_hosts}


def clusters_of(configuration: route_v3.RouteConfiguration, host: str) -> list[str | None]:
    (found,) = [each for each in configuration.virtual_hosts if each.name == host]
    return [each.route.cluster if each.route else None for each in found.routes]


def view_of(*hosts: VirtualHost, source: Source = Source()) -> View:
    return View(virtual_hosts=hosts, source=source)


def proxy_view(*hosts: VirtualHost) -> View:
    return View(virtual_hosts=hosts, interception=Interception.NONE, http_proxy_port=15080)


def with_ports(host: str, *numbers: int, addresses: tuple[str, ...] = ()) -> VirtualHost:
    ports = tuple(Port(number, f"http-{number}", Protocol.HTTP) for number in numbers)
    return virtual_host(Backend(Service(host, "default", ports, Resolution.STATIC, addresses=addresses), TrafficRule()))


def test_services_on_one_port_share_a_route_configuration() -> None:
    found = parsed(view_of(virtual_host(RATINGS), virtual_host(REVIEWS)))

    assert domains(found) == {"ratings:9080": ["ratings"], "reviews:9080": ["reviews"], "allow_any": ["*"]}


def test_each_port_of_a_service_has_its_virtual_host() -> None:
    view = view_of(with_ports("reviews", 9080, 9090))

    assert domains(parsed(view, "9090")) == {"reviews:9090": ["reviews"], "allow_any": ["*"]}


def test_port_in_a_host_header_is_ignored() -> None:
    """The connection has told the port; clients write it or not."""
    found = parsed(view_of(virtual_host(REVIEWS)))

    assert found.ignore_port_in_host_matching
    assert found.validate_clusters is False


def test_route_configuration_that_only_a_listener_knows_has_just_the_catch_all() -> None:
    """Envoy must be given every name that a listener has."""
    assert domains(parsed(view_of(), "9080")) == {"allow_any": ["*"]}


def test_only_what_listeners_name_is_made() -> None:
    view = view_of(with_ports("reviews", 80, 9080))

    assert [r.name for r in RouteTranslator().route_configurations(view, {"9080"}, ALL)] == ["9080"]


def test_forward_proxy_tells_hosts_by_their_port() -> None:
    view = proxy_view(with_ports("ratings", 80, 8080), virtual_host(REVIEWS))

    found = parsed(view, names.HTTP_PROXY_ROUTE)

    assert not found.ignore_port_in_host_matching
    assert domains(found) == {
        "forward_proxy_itself": ["127.0.0.1:15080", "localhost:15080"],
        "ratings:80": ["ratings", "ratings:80"],
        "ratings:8080": ["ratings:8080"],
        "reviews:9080": ["reviews:9080"],
        "allow_any_dynamic_dns": ["*"],
    }


def test_virtual_ip_of_two_services_is_the_firsts() -> None:
    """Envoy refuses a RouteConfiguration in which a domain stands twice."""
    first, second = (with_ports(host, 9080, addresses=("10.0.0.1",)) for host in ("ratings", "reviews"))

    found = parsed(view_of(first, second))

    assert domains(found) == {
        "ratings:9080": ["ratings", "10.0.0.1"],
        "reviews:9080": ["reviews"],
        "allow_any": ["*"],
    }


def test_host_whose_every_domain_is_taken_is_left_out() -> None:
    """A virtual host without domains would be refused too."""
    one, other = with_ports("reviews", 9080), replace(with_ports("REVIEWS", 9080), domains=("reviews",))

    assert list(domains(parsed(view_of(one, other)))) == ["reviews:9080", "allow_any"]


def test_cluster_that_the_caller_lacks_is_replaced_by_the_black_hole() -> None:
    """Every reference of a snapshot resolves; the route answers 503."""
    found = resource(view_of(virtual_host(REVIEWS)), clusters=frozenset())

    assert (type_url.CLUSTER, names.BLACK_HOLE_CLUSTER) in found.refs
    assert (type_url.CLUSTER, "outbound|9080||reviews") not in found.refs


def test_callers_that_see_different_clusters_get_different_routes() -> None:
    """One memory serves both."""
    translator, view = RouteTranslator(), view_of(virtual_host(REVIEWS))

    for clusters, expected in ((ALL, "outbound|9080||reviews"), (frozenset[str](), "BlackHoleCluster")) * 2:
        (found,) = translator.route_configurations(view, {"9080"}, clusters)
        assert clusters_of(route_v3.RouteConfiguration.parse(found.body), "reviews:9080") == [expected]


def test_routes_depend_on_who_calls() -> None:
    v1 = backend("reviews", traffic_rule(v1={}))
    for_web = replace(route(v1, Match(source_labels=(("app", "web"),))), destinations=(destination(v1, subset="v1"),))
    host = virtual_host(v1, for_web, route(v1))

    web = parsed(view_of(host, source=Source(labels=(("app", "web"),))))
    other = parsed(view_of(host))

    assert clusters_of(web, "reviews:9080") == ["outbound|9080|v1|reviews", "outbound|9080||reviews"]
    assert clusters_of(other, "reviews:9080") == ["outbound|9080||reviews"]


def test_resource_refers_to_its_clusters_and_names_the_policies_behind_it() -> None:
    origin = Origin("reviews.yaml", 1, "VirtualService", "default", "reviews")
    host = virtual_host(REVIEWS, replace(route(REVIEWS), origin=origin))

    found = resource(view_of(virtual_host(RATINGS), host))

    assert found.refs == (
        (type_url.CLUSTER, "PassthroughCluster"),
        (type_url.CLUSTER, "outbound|9080||ratings"),
        (type_url.CLUSTER, "outbound|9080||reviews"),
    )
    assert found.origins == (origin,)


def test_same_view_gives_the_very_same_resource() -> None:
    translator, view = RouteTranslator(), view_of(virtual_host(REVIEWS))

    (first,), (second,) = (translator.route_configurations(view, {"9080"}, ALL) for _ in range(2))

    assert first is second


def test_remembered_routes_are_those_made_anew() -> None:
    """The memory changes cost and nothing else."""
    translator = RouteTranslator()
    hosts = [virtual_host(backend(service(f"s{n}"))) for n in range(5)]
    clusters = frozenset(f"outbound|9080||s{n}" for n in range(5))
    translator.route_configurations(view_of(*hosts), {"9080"}, clusters)

    edited = view_of(*hosts[:2], virtual_host(backend(service("s2")), route(REVIEWS)), *hosts[3:])
    (found,) = translator.route_configurations(edited, {"9080"}, clusters)

    assert found == resource(edited, clusters=clusters)


def test_headers_that_the_mesh_sets_later_hold_for_hosts_that_were_encoded_before() -> None:
    translator, before = RouteTranslator(), view_of(virtual_host(REVIEWS))
    settings = replace(before.settings, headers=ProxyHeaders(attempt_count=False))

    found = [
        route_v3.RouteConfiguration.parse(made.body)
        for view in (before, replace(before, settings=settings))
        for made in translator.route_configurations(view, ["9080"], ALL)
    ]

    assert [[host.include_request_attempt_count for host in each.virtual_hosts] for each in found] == [
        [True, True],
        [False, False],
    ]
