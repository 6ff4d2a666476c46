"""Addresses for services that have none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import service
from xds_server.mesh.service import Resolution, Service
from xds_server.mesh.virtual_address import fnv32a, virtual_addresses


@pytest.mark.parametrize(("text", "value"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)])
def test_hash_is_fnv_1a(text: str, value: int) -> None:
    """Its authors' own test vectors."""
    assert fnv32a(text) == value


def test_address_depends_on_namespace_and_host_alone() -> None:
    alone = virtual_addresses([service("reviews")])
    among = virtual_addresses([service(f"a{n}") for n in range(50)] + [service("reviews")])

    assert among[("reviews", "default")] == alone[("reviews", "default")]
    assert alone[("reviews", "default")] != virtual_addresses([service("reviews", namespace="x")])[("reviews", "x")]


def test_no_two_have_one_address() -> None:
    found = virtual_addresses([service(f"service-{number}") for number in range(5000)])

    assert len(set(found.values())) == len(found) == 5000
    assert all(address.startswith("240.240.") and not address.endswith(".255") for address in found.values())


@pytest.mark.parametrize(
    "left_out",
    [
        service("*.example.com"),
        service("reviews", resolution=Resolution.NONE),
        replace(service("reviews"), addresses=("10.0.0.1",)),
        replace(service("reviews"), auto_address=False),
    ],
)
def test_service_that_needs_none_gets_none(left_out: Service) -> None:
    assert virtual_addresses([left_out]) == {}


def test_address_that_somebody_else_has_given_holds_and_nobody_else_gets_it() -> None:
    wanted = virtual_addresses([service("reviews")])[("reviews", "default")]
    given = replace(service("other"), given_address=wanted)

    found = virtual_addresses([given, service("reviews")])

    assert found[("other", "default")] == wanted
    assert found[("reviews", "default")] not in {wanted, ""}
