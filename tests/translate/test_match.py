"""Conditions of a route."""

from __future__ import annotations

import pytest

from tests.translate.shown import shown
from xds_server.mesh.route import HeaderMatch, Match, MatchKind, QueryMatch, StringMatch
from xds_server.translate.match import header_matcher, query_parameter_matcher, route_match

PRESENT = StringMatch(MatchKind.PRESENT)


def exact(value: str) -> StringMatch:
    return StringMatch(MatchKind.EXACT, value)


def test_match_without_conditions_takes_every_path() -> None:
    assert shown(route_match(Match())) == {"prefix": "/"}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (MatchKind.EXACT, {"path": "/a"}),
        (MatchKind.PREFIX, {"prefix": "/a"}),
        (MatchKind.REGEX, {"safe_regex": {"regex": "/a"}}),
    ],
)
def test_uri_is_compared_as_its_kind_says(kind: MatchKind, expected: dict[str, object]) -> None:
    assert shown(route_match(Match(uri=StringMatch(kind, "/a")))) == expected


def test_ignoring_the_case_of_the_uri_is_said_to_envoy() -> None:
    assert shown(route_match(Match(ignore_uri_case=True))) == {"prefix": "/", "case_sensitive": False}


def test_method_authority_and_scheme_follow_the_headers() -> None:
    """Istio's order; a fixed one keeps the bytes equal."""
    match = Match(
        scheme=exact("https"),
        method=exact("GET"),
        authority=exact("a"),
        headers=(HeaderMatch("x-b", exact("1")), HeaderMatch("x-c", exact("2"))),
    )

    assert [header.name for header in route_match(match).headers] == ["x-b", "x-c", ":method", ":authority", ":scheme"]


def test_header_is_compared_with_its_value() -> None:
    assert shown(header_matcher(HeaderMatch("end-user", exact("jason")))) == {
        "name": "end-user",
        "string_match": {"exact": "jason"},
    }


def test_header_without_value_need_only_be_there() -> None:
    assert shown(header_matcher(HeaderMatch("x-debug", PRESENT))) == {"name": "x-debug", "present_match": True}


def test_without_header_also_takes_requests_that_lack_it() -> None:
    """Istio's withoutHeaders: not having the header is not having that value."""
    assert shown(header_matcher(HeaderMatch("end-user", exact("jason"), invert=True))) == {
        "name": "end-user",
        "string_match": {"exact": "jason"},
        "invert_match": True,
        "treat_missing_header_as_empty": True,
    }


def test_without_header_by_presence_is_only_inverted() -> None:
    """Treating a missing header as empty would make it present."""
    assert shown(header_matcher(HeaderMatch("x-debug", PRESENT, invert=True))) == {
        "name": "x-debug",
        "present_match": True,
        "invert_match": True,
    }


def test_query_parameter_is_compared_or_only_present() -> None:
    assert shown(query_parameter_matcher(QueryMatch("q", exact("1")))) == {"name": "q", "string_match": {"exact": "1"}}
    assert shown(query_parameter_matcher(QueryMatch("q", PRESENT))) == {"name": "q", "present_match": True}
