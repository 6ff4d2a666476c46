"""Which mutual TLS mode holds where."""

from __future__ import annotations

import pytest

from xds_server.mesh.security import MutualTls, PeerPolicies, PeerPolicy

DISABLE, PERMISSIVE, STRICT = MutualTls
WEB = (("app", "web"),)
MESH = PeerPolicy("", mode=STRICT)
NAMESPACE = PeerPolicy("shop", mode=DISABLE)
WORKLOAD = PeerPolicy("shop", WEB, PERMISSIVE, ((8080, STRICT), (9090, None)))


def test_permissive_is_the_default() -> None:
    assert PeerPolicies().mode("shop", WEB, 80) is PERMISSIVE


@pytest.mark.parametrize(
    ("namespace", "labels", "port", "mode"),
    [
        ("other", (), None, STRICT),
        ("shop", (), None, DISABLE),
        ("shop", WEB, None, PERMISSIVE),
        ("shop", WEB, 80, PERMISSIVE),
        ("shop", WEB, 8080, STRICT),
        ("shop", WEB, 9090, PERMISSIVE),
        ("shop", (("app", "db"),), 8080, DISABLE),
        ("other", WEB, 8080, STRICT),
    ],
)
def test_port_comes_before_workload_before_namespace_before_mesh(
    namespace: str, labels: tuple[tuple[str, str], ...], port: int | None, mode: MutualTls
) -> None:
    assert PeerPolicies((MESH, NAMESPACE, WORKLOAD)).mode(namespace, labels, port) is mode


def test_unset_is_what_the_next_wider_policy_asks() -> None:
    policies = PeerPolicies((MESH, PeerPolicy("shop"), PeerPolicy("shop", WEB, None, ((8080, None),))))

    assert policies.mode("shop", WEB, 8080) is STRICT


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_policies_for_one_scope_the_stricter_holds(order: int) -> None:
    """A policy too many must not open a door, whichever is the older."""
    policies = PeerPolicies((NAMESPACE, PeerPolicy("shop", mode=STRICT))[::order])

    assert policies.mode("shop", ()) is STRICT


def test_an_unset_policy_beside_another_asks_what_it_inherits() -> None:
    policies = PeerPolicies((MESH, PeerPolicy("shop"), NAMESPACE))

    assert policies.mode("shop", ()) is STRICT


def test_policy_without_a_namespace_selects_everywhere() -> None:
    assert PeerPolicies((PeerPolicy("", WEB, STRICT),)).mode("any", WEB) is STRICT


def test_ports_are_those_that_policies_of_the_workload_name() -> None:
    policies = PeerPolicies((WORKLOAD, PeerPolicy("shop", (("app", "db"),), ports=((3306, STRICT),))))

    assert policies.ports("shop", WEB) == (8080, 9090)
    assert policies.ports("other", WEB) == ()


def test_what_matters_to_a_namespace_is_the_mesh_and_its_own() -> None:
    """Equal for as long as others are edited, so that nothing is made again."""
    one = PeerPolicies((MESH, NAMESPACE, PeerPolicy("other", mode=STRICT)))
    two = PeerPolicies((MESH, NAMESPACE, PeerPolicy("other", mode=DISABLE)))

    assert one.of("shop") == two.of("shop") == PeerPolicies((MESH, NAMESPACE))


@pytest.mark.parametrize(
    ("policy", "disables"),
    [(NAMESPACE, True), (PeerPolicy("shop", WEB, None, ((80, DISABLE),)), True), (WORKLOAD, False), (MESH, False)],
)
def test_callers_look_further_only_where_mesh_tls_is_switched_off(policy: PeerPolicy, *, disables: bool) -> None:
    assert PeerPolicies((policy,)).disables is disables
