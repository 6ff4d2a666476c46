"""Matches, destinations and what a route does."""

from __future__ import annotations

from tests.builders import backend, service, traffic_rule
from xds_server.mesh.route import (
    Destination,
    DirectResponse,
    HeaderMatch,
    Match,
    MatchKind,
    Redirect,
    Route,
    RouteAction,
    StringMatch,
)
from xds_server.mesh.service import Port, Protocol


def test_match_of_everything_is_a_catch_all() -> None:
    """No condition, the prefix / and the regex .* are the three ways to write it."""
    assert Match().is_catch_all
    assert Match(StringMatch(MatchKind.PREFIX, "/")).is_catch_all
    assert Match(StringMatch(MatchKind.REGEX, ".*")).is_catch_all


def test_any_condition_makes_a_match_narrower() -> None:
    """Also those that are decided before Envoy sees the route."""
    header = HeaderMatch("x", StringMatch(MatchKind.PRESENT))

    assert not Match(StringMatch(MatchKind.PREFIX, "/a")).is_catch_all
    assert not Match(headers=(header,)).is_catch_all
    assert not Match(port=80).is_catch_all
    assert not Match(source_labels=(("app", "web"),)).is_catch_all
    assert not Match(source_namespace="shop").is_catch_all


def test_port_of_a_destination_is_the_only_one_of_its_service() -> None:
    """Else the port that the request came in on."""
    one = backend(service("one", port=9080))
    two = backend(service("two", port=Port(9080, "http", Protocol.HTTP)))
    object.__setattr__(two.service, "ports", (*two.service.ports, Port(80, "web", Protocol.HTTP)))

    assert Destination("one", None, "", one).port_on(80) == 9080
    assert Destination("two", None, "", two).port_on(80) == 80
    assert Destination("two", 9080, "", two).port_on(80) == 9080
    assert Destination("gone", None, "", None).port_on(80) == 80


def test_destination_needs_its_service_port_and_subset() -> None:
    """A route to one that lacks any of them answers 503."""
    reviews = backend("reviews", traffic_rule(v1={"version": "v1"}))

    assert Destination("reviews", None, "", reviews).exists_on(80)
    assert Destination("reviews", None, "v1", reviews).exists_on(80)
    assert not Destination("reviews", None, "v2", reviews).exists_on(80)
    assert not Destination("reviews", 1234, "", reviews).exists_on(80)
    assert not Destination("gone", None, "", None).exists_on(80)


def test_redirect_wins_over_a_direct_response_which_wins_over_forwarding() -> None:
    """Istio's order."""
    both = Route(Match(), redirect=Redirect(uri="/x"), direct_response=DirectResponse(200))

    assert both.action is RouteAction.REDIRECT
    assert Route(Match(), direct_response=DirectResponse(200)).action is RouteAction.DIRECT_RESPONSE
    assert Route(Match()).action is RouteAction.FORWARD
