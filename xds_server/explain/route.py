"""Which route of a virtual host takes a request: the first that matches it.

A route that matches only a part of the requests leaves the rest to those after it. Envoy draws one number for a
request, so that of the requests that a fraction leaves over, a later fraction takes what it has more.

Source: Envoy, RouteMatch.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.errors import CannotTell
from xds_server.explain.header import header_matches
from xds_server.explain.path import without_query
from xds_server.explain.query import query_matches, query_parameters
from xds_server.explain.string_match import ascii_lower, regex_matches
from xds_server.explain.traffic import Request

_DENOMINATORS = {0: 100, 1: 10_000, 2: 1_000_000}
_NOT_KNOWN = ("connect_matcher", "path_match_policy", "tls_context", "cookies", "dynamic_metadata", "filter_state")
_GRPC = ("application/grpc", "application/grpc+")


def routes_for(virtual_host: route_v3.VirtualHost, request: Request) -> Iterator[tuple[Fraction, route_v3.Route]]:
    """The routes that take a part of requests like this, in order; the parts make less than 1 when some find none.

    Raises:
        CannotTell: a route on the way matches in a way that is not known here.
    """
    taken = Fraction(0)
    for route in virtual_host.routes:
        match = route.match or route_v3.RouteMatch()
        if route_matches(match, request):
            reach = _reach(match.runtime_fraction)
            if reach > taken:
                yield reach - taken, route
                taken = reach
            if taken == 1:
                return


def route_matches(match: route_v3.RouteMatch, request: Request) -> bool:
    """Whether `match` takes requests like this, or a part of them."""
    for name in _NOT_KNOWN:
        if getattr(match, name):
            raise CannotTell(f"a route matches by {name}")
    parameters = query_parameters(request.path)
    return (
        _path_matches(match, without_query(request.path))
        and (match.grpc is None or _is_grpc(request))
        and all(header_matches(each, request) for each in match.headers)
        and all(query_matches(each, parameters) for each in match.query_parameters)
    )


def _path_matches(match: route_v3.RouteMatch, path: str) -> bool:
    if match.safe_regex is not None:
        return regex_matches(match.safe_regex.regex, path)
    exact, prefix, separated = (
        wanted if wanted is None or match.case_sensitive is not False else ascii_lower(wanted)
        for wanted in (match.path, match.prefix, match.path_separated_prefix)
    )
    path = path if match.case_sensitive is not False else ascii_lower(path)
    if exact is not None:
        return path == exact
    if separated is not None:
        return path == separated or path.startswith(f"{separated}/")
    return path.startswith(prefix or "")


def _is_grpc(request: Request) -> bool:
    kind = "".join(request.values("content-type"))
    return kind == _GRPC[0] or kind.startswith(_GRPC[1])


def _reach(fraction: core_v3.RuntimeFractionalPercent | None) -> Fraction:
    if fraction is None or fraction.default_value is None:
        return Fraction(1)
    percent = fraction.default_value
    return min(Fraction(percent.numerator, _DENOMINATORS[int(percent.denominator)]), Fraction(1))
