"""Which hosts may be called on which ports."""

from __future__ import annotations

import pytest

from tests.builders import service
from xds_server.mesh.egress import EVERYTHING, EgressListener, Wanted, egress, selects
from xds_server.mesh.service import Port, Protocol, Resolution, Service

REVIEWS = Service(
    "reviews", "default", (Port(80, "http", Protocol.HTTP), Port(90, "more", Protocol.HTTP)), service().resolution
)
RATINGS = service("ratings", port=80)


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        ([("*", "*")], True),
        ([("default", "reviews")], True),
        ([("shop", "*")], False),
        ([("~", "*")], False),
        ([("*", "*"), ("~default", "reviews")], False),
        ([("~*", "reviews"), ("*", "*")], False),
        ([("*", "*"), ("~shop", "*")], True),
        ([("*", "*"), ("~default", "ratings")], True),
    ],
)
def test_host_is_seen_when_let_in_and_not_taken_out_again(wanted: list[Wanted], *, seen: bool) -> None:
    assert selects(wanted, "default", "reviews") is seen


def test_listeners_without_a_port_leave_every_port() -> None:
    assert egress((EgressListener((("*", "*"),)),), "default", [REVIEWS], []) is EVERYTHING


def test_port_belongs_to_the_hosts_of_its_listener_alone() -> None:
    """And a host that only a listener with a port names is on no other port."""
    listeners = (EgressListener(((".", "reviews"),), 80), EgressListener((("*", "ratings"),)))
    found = egress(listeners, "default", [REVIEWS, RATINGS], [])

    assert found.only_on == (("ratings", ()), ("reviews", (80,)))
    assert found.shows("reviews", 80)
    assert not found.shows("reviews", 90)
    assert not found.shows("ratings", 80)


def test_dot_is_the_callers_namespace_taken_out_too() -> None:
    listeners = (EgressListener((("*", "*"), ("~.", "reviews")), 80), EgressListener(((".", "*"),)))

    assert egress(listeners, "default", [REVIEWS, RATINGS], []).only_on == (("reviews", (90,)),)


def test_listener_may_stand_elsewhere() -> None:
    listeners = (EgressListener((("*", "*"),), 80, "127.0.0.2"), EgressListener((("*", "*"),), 90, bound=True))

    assert egress(listeners, "default", [REVIEWS], []).binds == ((80, "127.0.0.2", False), (90, "", True))


def test_host_that_no_service_has_follows_the_same_rules() -> None:
    listeners = (EgressListener((("*", "a.example.com"),), 80), EgressListener((("*", "b.example.com"),)))
    found = egress(listeners, "default", [], ["a.example.com", "b.example.com"])

    assert found.shows("a.example.com", 80)
    assert not found.shows("a.example.com", 90)


def test_hosts_of_a_socket_are_reached_by_it_and_on_no_port() -> None:
    listeners = (
        EgressListener(((".", "reviews"),), bind="unix:///a", protocol=Protocol.HTTP),
        EgressListener(((".", "ratings"),)),
    )
    services = [
        Service(host, "default", (Port(80, "http", Protocol.HTTP),), Resolution.STATIC)
        for host in ("ratings", "reviews")
    ]

    found = egress(listeners, "default", services, ())

    assert found.by_socket("unix:///a") == ("reviews",)
    assert found.by_socket("unix:///b") == ()
    assert not found.shows("reviews", 80)
    assert found.shows("ratings", 80)
