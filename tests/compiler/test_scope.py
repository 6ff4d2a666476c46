"""What each namespace sees: exportTo, and rules of its own."""

from __future__ import annotations

from tests.builders import codes, compiled, entry, istio
from tests.compiler.test_sight import TO, balancing, rule, virtual_host, virtual_service
from xds_server.mesh.traffic import LoadBalancing

SOMETHING = "egress: [{hosts: ['*/*']}]"


def presence(namespace: str) -> str:
    """A document that only makes a namespace hold one."""
    return istio("Sidecar", SOMETHING, namespace=namespace)


def test_each_namespace_with_documents_has_a_scope() -> None:
    mesh, _ = compiled(entry(namespace="shop"), presence("bank"))

    assert list(mesh.scopes) == ["bank", "shop"]
    assert mesh.scope("elsewhere") is mesh.default_scope


def test_namespaces_that_see_the_same_share_the_same_objects() -> None:
    mesh, _ = compiled(entry(namespace="shop"), rule("reviews", "RANDOM", namespace="shop"), presence("bank"))

    assert mesh.scopes["bank"].backends == mesh.default_scope.backends
    assert mesh.scopes["shop"].backends == mesh.default_scope.backends
    assert mesh.scopes["shop"].virtual_hosts == mesh.default_scope.virtual_hosts


def test_private_service_is_seen_in_its_own_namespace_only() -> None:
    mesh, _ = compiled(entry(spec='exportTo: ["."]', namespace="shop"), presence("bank"))

    assert list(mesh.scopes["shop"].backends) == ["reviews"]
    assert list(mesh.scopes["bank"].backends) == []
    assert list(mesh.default_scope.backends) == []
    assert [service.host for service in mesh.services] == ["reviews"]


def test_service_is_seen_where_it_is_exported_to_even_by_a_namespace_without_documents() -> None:
    mesh, _ = compiled(entry(spec="exportTo: [bank]", namespace="shop"))

    assert list(mesh.scope("bank").backends) == ["reviews"]
    assert list(mesh.scope("shop").backends) == []


def test_own_service_comes_before_one_of_the_same_host() -> None:
    mesh, problems = compiled(entry(namespace="bank"), entry(namespace="shop"))
    found = {name: scope.backends["reviews"].service.namespace for name, scope in mesh.scopes.items()}

    assert found == {"bank": "bank", "shop": "shop"}
    assert mesh.default_scope.backends["reviews"].service.namespace == "bank"
    assert [(problem.namespace, problem.code) for problem in problems] == [("shop", "host-clash")]


def test_full_host_answers_to_its_bare_name_in_its_own_namespace() -> None:
    full = "reviews.shop.svc.cluster.local"
    mesh, _ = compiled(entry(full, namespace="shop"), entry("web"))
    shop, default = mesh.scopes["shop"], mesh.scopes["default"]

    assert "reviews" in virtual_host(shop, full).domains
    assert "reviews" not in virtual_host(default, full).domains
    assert virtual_host(shop, "web") is virtual_host(default, "web")


def test_bare_name_belongs_to_the_service_that_is_called_so() -> None:
    full = "reviews.shop.svc.cluster.local"
    mesh, _ = compiled(entry(full, namespace="shop"), entry("reviews"))
    shop = mesh.scopes["shop"]

    assert "reviews" not in virtual_host(shop, full).domains
    assert "reviews" in virtual_host(shop, "reviews").domains


def test_callers_meet_the_rules_of_their_own_namespace_first() -> None:
    rules = [
        rule("reviews.shop", "RANDOM", namespace="bank"),
        rule("reviews", "ROUND_ROBIN", namespace="shop"),
    ]
    mesh, _ = compiled(entry(namespace="shop"), *rules)

    assert balancing(mesh.scopes["bank"]) is LoadBalancing.RANDOM
    assert balancing(mesh.scopes["shop"]) is LoadBalancing.ROUND_ROBIN
    assert balancing(mesh.default_scope) is LoadBalancing.ROUND_ROBIN


def test_callers_of_the_root_namespace_meet_the_rules_of_the_service_first() -> None:
    """Istio's rule: the root namespace has the last word, its callers' too."""
    rules = [rule("reviews.shop", "RANDOM"), rule("reviews", "ROUND_ROBIN", namespace="shop")]
    mesh, _ = compiled(entry(namespace="shop"), *rules)

    assert balancing(mesh.scopes["default"]) is LoadBalancing.ROUND_ROBIN


def test_private_rule_is_met_in_its_own_namespace_only() -> None:
    mesh, _ = compiled(entry(namespace="shop"), rule("reviews", "RANDOM", namespace="shop", more=', exportTo: ["."]'))

    assert balancing(mesh.scopes["shop"]) is LoadBalancing.RANDOM
    assert balancing(mesh.default_scope) is LoadBalancing.LEAST_REQUEST


def test_private_virtual_service_comes_before_a_public_one() -> None:
    """Istio's order, whatever their names and ages."""
    private = virtual_service("reviews", f"name: private, {TO}", name="z").replace("http:", 'exportTo: ["."], http:')
    mesh, problems = compiled(entry(), virtual_service("reviews", f"name: public, {TO}", name="a"), private)

    assert [route.name for route in virtual_host(mesh.scopes["default"]).routes] == ["private"]
    assert [route.name for route in virtual_host(mesh.default_scope).routes] == ["public"]
    assert [(problem.name, problem.code) for problem in problems] == [("a", "unreachable-route")]


def test_finding_is_what_the_callers_of_its_authors_namespace_meet() -> None:
    """A private service is unknown to others; its own virtual service is not wrong for that."""
    mesh, problems = compiled(
        entry(spec='exportTo: ["."]', namespace="shop"), virtual_service("reviews", namespace="shop")
    )

    assert problems == ()
    assert virtual_host(mesh.default_scope).backend is None


def test_destination_that_others_keep_private_is_reported() -> None:
    _, problems = compiled(
        entry(spec='exportTo: ["."]', namespace="shop"),
        entry("web"),
        virtual_service("web", "route: [{destination: {host: reviews.shop}}]"),
    )

    assert codes(problems) == ["unknown-host"]
