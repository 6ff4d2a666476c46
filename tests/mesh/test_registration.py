"""What a proxy says of itself, to become an endpoint."""

from __future__ import annotations

import pytest

from xds_server.mesh.registration import Registration, registration
from xds_server.mesh.service import Locality
from xds_server.mesh.workload import workload


def made(metadata: dict[str, object], *, node_id: str = "web", peer: str = "") -> Registration | None:
    found = workload(node_id, default_namespace="default", metadata=metadata, locality=Locality("eu"))
    return registration(found, metadata, peer=peer)


def test_everything_that_a_node_says_is_taken() -> None:
    found = made(
        {
            "AUTO_REGISTER_GROUP": "workers",
            "NAMESPACE": "shop",
            "INSTANCE_IPS": "10.0.0.7,fd00::7",
            "LABELS": {"version": "v2"},
            "WORKLOAD_PORTS": {"http": 8080.0, "admin": "9000"},
            "WORKLOAD_WEIGHT": 3.0,
            "NETWORK": "east",
        }
    )

    assert found == Registration(
        namespace="shop",
        group="workers",
        address="10.0.0.7",
        ports=(("admin", 9000), ("http", 8080)),
        labels=(("version", "v2"),),
        locality=Locality("eu"),
        weight=3,
        network="east",
    )


@pytest.mark.parametrize("metadata", [{}, {"AUTO_REGISTER_GROUP": ""}, {"AUTO_REGISTER_GROUP": 1.0}])
def test_node_that_names_no_group_registers_nothing(metadata: dict[str, object]) -> None:
    assert made(metadata, node_id="sidecar~10.0.0.1~web.default~x") is None


@pytest.mark.parametrize(
    ("node_id", "ips", "peer", "address"),
    [
        ("sidecar~10.0.0.1~web.default~x", "", "10.0.0.9", "10.0.0.1"),
        ("sidecar~127.0.0.1~web.default~x", "10.0.0.2", "10.0.0.9", "10.0.0.2"),
        ("sidecar~127.0.0.1~web.default~x", "", "10.0.0.9", "10.0.0.9"),
        ("web", "", "10.0.0.9", "10.0.0.9"),
        ("web", "no address", "fd00::9", "fd00::9"),
        ("sidecar~127.0.0.2~web.default~x", "", "127.0.0.1", "127.0.0.2"),
    ],
)
def test_address_is_one_that_others_can_reach(node_id: str, ips: str, peer: str, address: str) -> None:
    """What the node says first, then where it calls from; loopback only among neighbours on loopback."""
    found = made({"AUTO_REGISTER_GROUP": "g", "INSTANCE_IPS": ips}, node_id=node_id, peer=peer)

    assert found is not None
    assert found.address == address


def test_workload_that_is_nowhere_registers_nothing() -> None:
    assert made({"AUTO_REGISTER_GROUP": "g"}) is None


@pytest.mark.parametrize(("ports", "weight"), [("x", "y"), ({"http": 0.0, "a": 1.5, "b": True}, -1.0), ([1], [2])])
def test_values_of_the_wrong_kind_are_passed_over(ports: object, weight: object) -> None:
    found = made({"AUTO_REGISTER_GROUP": "g", "WORKLOAD_PORTS": ports, "WORKLOAD_WEIGHT": weight}, peer="10.0.0.1")

    assert found is not None
    assert (found.weight, dict(found.ports).get("http"), dict(found.ports).get("a")) == (0, None, None)


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (Registration("n", "web", "10.0.0.1"), "web-10.0.0.1"),
        (Registration("n", "web", "fd00::1"), "web-fd00--1"),
        (Registration("n", "web", "127.0.0.1", (("http", 8080),)), "web-127.0.0.1-8080"),
    ],
)
def test_name_is_istios(found: Registration, name: str) -> None:
    assert found.name == name
