"""What a namespace sees, and with which rules."""

from __future__ import annotations

from tests.builders import compiled
from xds_server.mesh.mesh import Mesh, Scope
from xds_server.mesh.selective import SelectiveRule

SERVICES = """
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {name: all, namespace: shop}
    spec:
      hosts: [reviews, ratings]
      ports: [{number: 80, name: http, protocol: HTTP}]
      resolution: STATIC
      endpoints: [{address: 10.0.0.1}]
    ---
    apiVersion: networking.istio.io/v1
    kind: VirtualService
    metadata: {name: reviews, namespace: shop}
    spec:
      hosts: [reviews]
      http:
      - match: [{sourceLabels: {app: web}}]
        route: [{destination: {host: ratings}}]
      - match: [{sourceNamespace: shop}]
        route: [{destination: {host: reviews}}]
"""


def scope() -> Scope:
    """Of the namespace `shop`."""
    mesh, problems = compiled(SERVICES)
    assert not problems
    return mesh.scope("shop")


def test_unknown_namespace_starts_from_what_everybody_sees() -> None:
    mesh, _ = compiled(SERVICES)

    assert mesh.scope("elsewhere") is mesh.default_scope


def test_backends_are_sorted_by_host() -> None:
    assert [backend.service.host for backend in scope().all_backends] == ["ratings", "reviews"]


def test_scope_knows_what_its_routes_ask_of_the_caller() -> None:
    found = scope()

    assert found.source_keys == {"app"}
    assert found.asks_namespace
    assert not Scope("empty").asks_namespace


def test_no_rules_change_nothing() -> None:
    found = scope()

    assert found.ruled(()) is found


def test_same_rules_give_one_object() -> None:
    found = scope()
    rule = SelectiveRule("shop", (), {"ratings": found.backends["ratings"]})

    assert found.ruled((rule,)) is found.ruled((rule,))


def test_first_rule_for_a_host_wins() -> None:
    found = scope()
    first, second = (Scope("shop", scope().backends).backends for _ in range(2))
    rules = (SelectiveRule("shop", (), first), SelectiveRule("shop", (), second))

    assert found.ruled(rules).backends["ratings"] is first["ratings"]


def test_empty_mesh_allows_any_destination() -> None:
    assert Mesh().outbound_policy == "ALLOW_ANY"
    assert Mesh().virtual_addresses == {}
