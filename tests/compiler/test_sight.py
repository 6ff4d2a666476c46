"""What everybody sees: names, rules and routes of services."""

from __future__ import annotations

from tests.builders import codes, compiled, entry, istio
from xds_server.mesh.mesh import Mesh, Scope
from xds_server.mesh.traffic import LoadBalancing
from xds_server.mesh.virtual_host import VirtualHost

TO = "route: [{destination: {host: reviews}}]"


def rule(host: str, simple: str, *, name: str = "one", namespace: str = "default", more: str = "") -> str:
    spec = f'host: "{host}", trafficPolicy: {{loadBalancer: {{simple: {simple}}}}}{more}'
    return istio("DestinationRule", spec, name=name, namespace=namespace)


def virtual_service(host: str, written: str = TO, *, name: str = "one", namespace: str = "default") -> str:
    return istio("VirtualService", f'hosts: ["{host}"], http: [{{{written}}}]', name=name, namespace=namespace)


def balancing(scope: Scope, host: str = "reviews") -> LoadBalancing:
    return scope.backends[host].traffic.policies.default.load_balancer.policy


def virtual_host(scope: Scope, host: str = "reviews") -> VirtualHost:
    (found,) = [found for found in scope.virtual_hosts if found.host == host]
    return found


def seen(*parts: str) -> Scope:
    mesh: Mesh = compiled(*parts)[0]
    return mesh.default_scope


def test_backends_and_virtual_hosts_are_sorted_by_host() -> None:
    scope = seen(entry("b"), entry("c"), entry("a"), virtual_service("aa"))

    assert list(scope.backends) == ["a", "b", "c"]
    assert [found.host for found in scope.virtual_hosts] == ["a", "aa", "b", "c"]


def test_tcp_service_has_a_backend_and_no_virtual_host() -> None:
    scope = seen(entry("db", "ports: [{number: 5432, name: db, protocol: TCP}]"))

    assert list(scope.backends) == ["db"]
    assert scope.virtual_hosts == ()


def test_service_answers_to_its_spellings() -> None:
    assert virtual_host(seen(entry())).domains == (
        "reviews",
        "reviews.default",
        "reviews.default.svc",
        "reviews.default.svc.cluster.local",
    )


def test_host_as_written_wins_a_name_and_the_loser_is_reported() -> None:
    mesh, problems = compiled(entry("reviews"), entry("reviews.default"))
    hosts = mesh.default_scope

    assert virtual_host(hosts, "reviews.default").domains == ("reviews.default",)
    assert "reviews.default" not in virtual_host(hosts, "reviews").domains
    assert [(problem.name, problem.code) for problem in problems] == [("reviews", "name-clash")]


def test_rule_for_the_exact_host_comes_before_any_wildcard() -> None:
    rules = [rule("*", "RANDOM", name="a"), rule("reviews", "ROUND_ROBIN", name="b")]

    assert balancing(seen(entry(), *rules)) is LoadBalancing.ROUND_ROBIN


def test_longest_wildcard_comes_first() -> None:
    rules = [rule("*.com", "RANDOM", name="a"), rule("*.example.com", "ROUND_ROBIN", name="b")]

    assert balancing(seen(entry("api.example.com"), *rules), "api.example.com") is LoadBalancing.ROUND_ROBIN


def test_rule_of_the_services_namespace_comes_before_that_of_the_root() -> None:
    rules = [rule("reviews", "RANDOM"), rule("reviews", "ROUND_ROBIN", namespace="shop")]

    assert balancing(seen(entry(namespace="shop"), *rules)) is LoadBalancing.ROUND_ROBIN


def test_rule_of_the_root_namespace_is_for_every_service() -> None:
    assert balancing(seen(entry(namespace="shop"), rule("reviews.shop", "RANDOM"))) is LoadBalancing.RANDOM


def test_rule_of_a_third_namespace_is_not_for_everybody() -> None:
    assert balancing(seen(entry(namespace="shop"), rule("reviews.shop", "RANDOM", namespace="bank"))) is (
        LoadBalancing.LEAST_REQUEST
    )


def test_virtual_service_for_the_exact_host_comes_before_any_wildcard() -> None:
    scope = seen(
        entry("api.example.com"),
        virtual_service("*.example.com", f"name: wild, {TO}", name="a"),
        virtual_service("api.example.com", f"name: own, {TO}", name="b"),
    )

    assert [route.name for route in virtual_host(scope, "api.example.com").routes] == ["own"]


def test_wildcard_virtual_service_is_for_every_service_that_it_covers() -> None:
    mesh, problems = compiled(
        entry("a.example.com"), entry("b.example.com"), virtual_service("*.example.com", f"name: wild, {TO}"), entry()
    )
    covered = [found for found in mesh.default_scope.virtual_hosts if found.routes]

    assert [found.host for found in covered] == ["a.example.com", "b.example.com"]
    assert problems == ()


def test_host_that_no_service_has_is_a_virtual_host_without_backend() -> None:
    mesh, problems = compiled(entry(), virtual_service("gone.example.com"))
    found = virtual_host(mesh.default_scope, "gone.example.com")

    assert (found.domains, found.backend, len(found.routes)) == (("gone.example.com",), None, 1)
    assert codes(problems) == ["unknown-host"]


def test_virtual_service_meets_the_service_that_comes_after_it() -> None:
    mesh, problems = compiled(virtual_service("reviews", f"name: own, {TO}"), entry())

    assert [route.name for route in virtual_host(mesh.default_scope).routes] == ["own"]
    assert problems == ()


def test_destination_is_resolved_in_the_namespace_of_its_virtual_service() -> None:
    full = "reviews.shop.svc.cluster.local"
    scope = seen(entry(full, namespace="shop"), entry("web"), virtual_service("web.default", namespace="shop"))
    ((weighted,),) = [route.destinations for route in virtual_host(scope, "web").routes]

    assert weighted.destination.backend is scope.backends[full]


def test_destination_is_the_backend_of_the_same_scope() -> None:
    scope = seen(entry(), virtual_service("reviews"))
    ((weighted,),) = [route.destinations for route in virtual_host(scope).routes]

    assert weighted.destination.backend is scope.backends["reviews"]


def test_rule_for_a_host_that_no_service_has_is_reported() -> None:
    _, problems = compiled(entry(), rule("reveiws", "RANDOM"))

    assert [(problem.code, problem.fix) for problem in problems] == [("unknown-host", "did you mean reviews?")]
