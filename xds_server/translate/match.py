"""Which requests a route takes: mesh Match to Envoy's RouteMatch.

Only what Envoy itself compares: port, source labels, source namespace and gateways are decided before, in
`virtual_host.py`.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from xds_server.mesh.route import HeaderMatch, Match, MatchKind, QueryMatch, StringMatch
from xds_server.translate.encode import shared

EVERYTHING = StringMatch(MatchKind.PREFIX, "/")


@shared
def route_match(match: Match) -> route_v3.RouteMatch:
    """All conditions of `match`, and-ed: one read-only message for all that say the same."""
    uri = match.uri or EVERYTHING
    return route_v3.RouteMatch(
        path=uri.value if uri.kind is MatchKind.EXACT else None,
        prefix=uri.value if uri.kind is MatchKind.PREFIX else None,
        safe_regex=regex_matcher(uri.value) if uri.kind is MatchKind.REGEX else None,
        case_sensitive=False if match.ignore_uri_case else None,
        headers=[header_matcher(header) for header in _headers(match)],
        query_parameters=[query_parameter_matcher(query) for query in match.query],
    )


def header_matcher(header: HeaderMatch) -> route_v3.HeaderMatcher:
    """One header condition.

    An inverted comparison also takes requests without the header: Istio's withoutHeaders means "has not this value".
    """
    present = header.match.kind is MatchKind.PRESENT
    return route_v3.HeaderMatcher(
        name=header.name,
        present_match=True if present else None,
        string_match=None if present else string_matcher(header.match),
        invert_match=header.invert,
        treat_missing_header_as_empty=header.invert and not present,
    )


def query_parameter_matcher(query: QueryMatch) -> route_v3.QueryParameterMatcher:
    """One query parameter condition."""
    present = query.match.kind is MatchKind.PRESENT
    return route_v3.QueryParameterMatcher(
        name=query.name,
        present_match=True if present else None,
        string_match=None if present else string_matcher(query.match),
    )


def string_matcher(match: StringMatch) -> matcher_v3.StringMatcher:
    """EXACT, PREFIX or REGEX; where PRESENT is possible the caller has its own field for it."""
    return matcher_v3.StringMatcher(
        exact=match.value if match.kind is MatchKind.EXACT else None,
        prefix=match.value if match.kind is MatchKind.PREFIX else None,
        safe_regex=regex_matcher(match.value) if match.kind is MatchKind.REGEX else None,
    )


def regex_matcher(pattern: str) -> matcher_v3.RegexMatcher:
    """RE2, Envoy's only engine; it must match the whole text."""
    return matcher_v3.RegexMatcher(regex=pattern)


def _headers(match: Match) -> list[HeaderMatch]:
    """Istio's order: by header name, then what HTTP calls pseudo-headers."""
    pseudo = ((":method", match.method), (":authority", match.authority), (":scheme", match.scheme))
    return [*match.headers, *(HeaderMatch(name, condition) for name, condition in pseudo if condition is not None)]
