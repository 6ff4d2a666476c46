"""Which routes take a request, and how much of it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from xds_server.errors import CannotTell
from xds_server.explain.route import route_matches, routes_for
from xds_server.explain.traffic import Request

Match = route_v3.RouteMatch


def part(percent: int) -> core_v3.RuntimeFractionalPercent:
    return core_v3.RuntimeFractionalPercent(default_value=type_v3.FractionalPercent(numerator=percent))


def taken(*matches: Match) -> list[tuple[Fraction, str]]:
    routes = [route_v3.Route(name=str(place), match=match) for place, match in enumerate(matches)]
    found = routes_for(route_v3.VirtualHost(routes=routes), Request("a.test", "/a"))
    return [(share, route.name) for share, route in found]


def test_first_route_that_matches_takes_all() -> None:
    assert taken(Match(path="/b"), Match(prefix="/a"), Match(prefix="/")) == [(Fraction(1), "1")]


def test_fractions_are_of_one_draw() -> None:
    """Of the half that the first leaves, the second takes what its 80 % have more; the last has the rest."""
    shares = taken(
        Match(prefix="/", runtime_fraction=part(50)),
        Match(prefix="/", runtime_fraction=part(30)),
        Match(prefix="/", runtime_fraction=part(80)),
        Match(prefix="/"),
    )

    assert shares == [(Fraction(1, 2), "0"), (Fraction(3, 10), "2"), (Fraction(1, 5), "3")]


@pytest.mark.parametrize(
    ("match", "takes", "refuses"),
    [
        (Match(path="/a"), "/a?q", "/a/"),
        (Match(prefix="/a"), "/ab", "/A"),
        (Match(prefix="/a", case_sensitive=False), "/AB", "/b"),
        (Match(path="/a", case_sensitive=False), "/A", "/ab"),
        (Match(path_separated_prefix="/a"), "/a/b", "/ab"),
        (Match(safe_regex=matcher_v3.RegexMatcher(regex="/[ab]")), "/b?q", "/ab"),
        (Match(prefix="/", query_parameters=[route_v3.QueryParameterMatcher(name="q")]), "/?q", "/?Q"),
    ],
)
def test_path_is_compared_as_the_match_says(match: Match, takes: str, refuses: str) -> None:
    assert route_matches(match, Request("a.test", takes))
    assert not route_matches(match, Request("a.test", refuses))


def test_grpc_is_told_by_its_content_type() -> None:
    match = Match(prefix="/", grpc=route_v3.RouteMatchGrpcRouteMatchOptions())

    assert route_matches(match, Request("a.test", headers=(("content-type", "application/grpc+proto"),)))
    assert not route_matches(match, Request("a.test", headers=(("content-type", "application/grpcweb"),)))


def test_match_by_what_is_not_known_is_not_guessed() -> None:
    with pytest.raises(CannotTell, match="dynamic_metadata"):
        route_matches(Match(prefix="/", dynamic_metadata=[matcher_v3.MetadataMatcher(filter="jwt")]), Request("a.test"))
