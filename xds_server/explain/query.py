"""Whether a request has the query parameters that a route asks for. Envoy compares them as they are written."""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.explain.string_match import string_matches


def query_parameters(path: str) -> dict[str, str]:
    """The first value of each parameter, still encoded."""
    _, _, query = path.partition("?")
    found: dict[str, str] = {}
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        found.setdefault(name, value)
    return found


def query_matches(matcher: route_v3.QueryParameterMatcher, parameters: dict[str, str]) -> bool:
    """Whether `parameters` have what `matcher` asks for; without a comparison it asks for presence."""
    value = parameters.get(matcher.name)
    if matcher.present_match is not None:
        return (value is not None) == matcher.present_match
    if value is None:
        return False
    return matcher.string_match is None or string_matches(matcher.string_match, value)
