"""Several VirtualServices for one host make one list of routes."""

from __future__ import annotations

import pytest

from tests.builders import backend, codes, document, istio, service, traffic_rule
from xds_server.compiler.finding import Outcome
from xds_server.compiler.virtual_service import (
    Routes,
    destinations,
    host_candidates,
    routes,
    speaks_http,
    strange_host,
    targets,
    virtual_host,
)
from xds_server.mesh.host import Names
from xds_server.mesh.service import Port, Protocol, Resolution, Service
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.policy.document import Document

NAMES = Names({"reviews": "default", "ratings": "shop"})
REVIEWS = backend(traffic=traffic_rule())
A, B = "match: [{uri: {prefix: /a}}]", "match: [{uri: {prefix: /b}}]"


def virtual_service(*rules: str, hosts: str = "reviews", name: str = "one", more: str = "") -> Document:
    http = ", ".join(f"{{{rule}{', ' if rule else ''}route: [{{destination: {{host: reviews}}}}]}}" for rule in rules)
    return document(istio("VirtualService", f"hosts: [{hosts}], http: [{http}]{more}", name=name))


def bound(*rules: str, name: str = "one") -> Routes:
    return routes(virtual_service(*rules, name=name), (REVIEWS,), ())


def merged(*documents: Routes) -> Outcome[VirtualHost]:
    return virtual_host(REVIEWS, ("reviews",), documents)


def names(outcome: Outcome[VirtualHost]) -> list[str]:
    return [route.name for route in outcome.value.routes]


def test_hosts_of_services_are_resolved_and_others_stay_as_written() -> None:
    found = virtual_service("", hosts='reviews.default, ratings.shop.svc, Gone.Example.com, "*.example.org"')

    assert targets(found, NAMES) == ("reviews", "ratings", "gone.example.com", "*.example.org")


def test_short_host_means_the_namespace_of_its_document() -> None:
    assert targets(virtual_service("", hosts="ratings"), Names({"ratings.shop": "shop"})) == ("ratings",)


@pytest.mark.parametrize(
    ("gateways", "obeyed"), [("[edge]", False), ("[edge, mesh]", True), ("[mesh]", True), ("[]", True)]
)
def test_sidecars_obey_what_is_for_the_mesh(gateways: str, obeyed: bool) -> None:
    assert bool(targets(virtual_service("", more=f", gateways: {gateways}"), NAMES)) is obeyed


def test_document_may_depend_on_the_hosts_that_its_names_may_mean() -> None:
    found = virtual_service("", hosts="gone")

    assert set(host_candidates(found)) == {
        "gone",
        "gone.default.svc.cluster.local",
        "reviews",
        "reviews.default.svc.cluster.local",
    }


def test_destinations_are_resolved_in_order() -> None:
    found = document(
        istio(
            "VirtualService",
            "hosts: [a], http: [{route: [{destination: {host: ratings.shop}}], mirror: {host: gone}}]",
        )
    )

    assert destinations(found, NAMES) == ("ratings", "")


def test_problems_of_rules_come_with_the_routes() -> None:
    outcome = routes(virtual_service(""), (None,), ("ratings",))

    assert codes(outcome.problems) == ["unknown-host"]
    assert len(outcome.value.http) == 1


def test_sidecars_get_no_routes_that_are_for_gateways_alone() -> None:
    found = merged(bound("name: edge, match: [{gateways: [edge]}]", "name: both, match: [{gateways: [edge, mesh]}]"))

    assert names(found) == ["both"]


def test_rules_for_connections_stand_beside_those_for_requests() -> None:
    database = backend(service("db", port=3306, protocol=Protocol.TCP))
    tcp = document(istio("VirtualService", "hosts: [db], tcp: [{route: [{destination: {host: db}}]}]"))

    found = virtual_host(database, ("db",), (routes(tcp, (database,), ()),))

    assert len(found.value.connections) == 1
    assert not found.problems


def test_rule_for_connections_that_no_port_is_for_is_reported() -> None:
    tls = "tls: [{match: [{sniHosts: [reviews]}], route: [{destination: {host: reviews}}]}]"
    found = document(istio("VirtualService", f"hosts: [reviews], {tls}"))

    assert codes(virtual_host(REVIEWS, ("reviews",), (routes(found, (REVIEWS,), ()),)).problems) == ["no-such-port"]


@pytest.mark.parametrize(
    ("protocol", "speaks"),
    [(Protocol.HTTP, True), (Protocol.GRPC, True), (Protocol.AUTO, True), (Protocol.TCP, False), (Protocol.TLS, False)],
)
def test_http_hosts_are_for_services_with_a_port_that_may_be_http(protocol: Protocol, speaks: bool) -> None:
    assert speaks_http(service(protocol=protocol)) is speaks


def test_no_virtual_service_is_istios_default_route() -> None:
    assert merged().value.routes == ()


def test_routes_come_in_order_of_precedence() -> None:
    first = bound(f"name: a, {A}", name="first")
    second = bound(f"name: b, {B}", name="second")

    assert names(merged(first, second)) == ["a", "b"]
    assert names(merged(second, first)) == ["b", "a"]


def test_catch_alls_come_last() -> None:
    """An older document's catch-all must not hide what a younger one says of some requests."""
    outcome = merged(bound("name: all", name="old"), bound(f"name: a, {A}", name="young"))

    assert names(outcome) == ["a", "all"]
    assert outcome.problems == ()


def test_second_catch_all_is_unreachable_and_names_the_first() -> None:
    outcome = merged(bound("name: one", name="old"), bound("name: two", name="young"))
    (problem,) = outcome.problems

    assert names(outcome) == ["one"]
    assert (problem.code, problem.name, problem.field) == ("unreachable-route", "young", "spec.http[0]")
    assert "VirtualService/default/old" in problem.message


def test_route_behind_the_catch_all_of_its_own_document_is_unreachable() -> None:
    """It stays behind it: only whole documents change places."""
    outcome = merged(bound("name: all", f"name: a, {A}"))

    assert names(outcome) == ["all"]
    assert [(problem.code, problem.field) for problem in outcome.problems] == [
        ("unreachable-route", "spec.http[1].match[0]")
    ]


def test_route_behind_a_wider_one_is_unreachable() -> None:
    outcome = merged(bound(f"name: wide, {A}", "name: narrow, match: [{uri: {exact: /ab}}]"))
    (problem,) = outcome.problems

    assert names(outcome) == ["wide"]
    assert "spec.http[0].match[0] comes first" in problem.message


def test_narrower_route_before_a_wider_one_is_reached() -> None:
    outcome = merged(bound("name: narrow, match: [{uri: {exact: /ab}}]", f"name: wide, {A}"))

    assert names(outcome) == ["narrow", "wide"]
    assert outcome.problems == ()


@pytest.mark.parametrize(
    ("match", "hosts", "found"),
    [
        ("port: 80", "reviews", ["no-such-port"]),
        ("port: 9080", "reviews", []),
        ("port: 80, gateways: [edge, mesh]", "reviews", []),
        ("port: 80", "reviews, ratings", []),
        ("port: 80", "'*.svc.cluster.local'", []),
    ],
)
def test_match_for_a_port_that_the_host_lacks_is_reported(match: str, hosts: str, found: list[str]) -> None:
    written = virtual_service(f"match: [{{{match}}}]", "", hosts=hosts)

    assert codes(merged(routes(written, (REVIEWS,), ())).problems) == found


def test_destination_without_port_that_lacks_the_callers_port_is_reported() -> None:
    """It means the port that the request came in on (Istio's rule)."""
    caller = backend(service("web", port=80))
    ports = tuple(Port(number, f"p{number}", Protocol.HTTP) for number in (9080, 9081))
    several = backend(Service("reviews", "default", ports, Resolution.STATIC))
    outcome = virtual_host(caller, ("web",), (routes(virtual_service(""), (several,), ()),))

    assert codes(outcome.problems) == ["no-such-port"]
    assert codes(virtual_host(several, ("reviews",), (routes(virtual_service(""), (several,), ()),)).problems) == []


def test_only_port_of_a_destination_needs_no_number() -> None:
    caller = backend(service("web", port=80))

    assert virtual_host(caller, ("web",), (bound(""),)).problems == ()


def test_host_without_service_is_served_and_reported_with_the_nearest_name() -> None:
    found = virtual_service("", hosts="ratings, reveiws")
    outcome = strange_host("reveiws", (found,), (routes(found, (REVIEWS,), ()),), ("ratings", "reviews"))
    (problem,) = outcome.problems

    assert (outcome.value.host, outcome.value.domains, outcome.value.backend) == ("reveiws", ("reveiws",), None)
    assert len(outcome.value.routes) == 1
    assert (problem.code, problem.field, problem.fix) == ("unknown-host", "spec.hosts[1]", "did you mean reviews?")
