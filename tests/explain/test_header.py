"""What headers a route can ask for, and what an absent one is."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from xds_server.errors import CannotTell
from xds_server.explain.header import header_matches
from xds_server.explain.traffic import Request

Matcher = route_v3.HeaderMatcher
ONE = matcher_v3.StringMatcher(exact="one")


def matches(matcher: Matcher, *headers: tuple[str, str]) -> bool:
    return header_matches(matcher, Request("a.test:80", "/p", "POST", headers=headers))


def test_name_has_no_case_and_each_of_several_values_is_compared_by_itself() -> None:
    """As Envoy 1.40 does; before, it compared them as one list."""
    several = ("X-A", "one"), ("x-a", "two")

    assert matches(Matcher(name="x-a", string_match=ONE), *several)
    assert not matches(Matcher(name="x-a", string_match=ONE, invert_match=True), *several)
    assert not matches(Matcher(name="x-a", string_match=matcher_v3.StringMatcher(exact="one,two")), *several)


def test_values_of_a_header_that_envoy_knows_by_name_are_one_list() -> None:
    several = ("Accept", "one"), ("accept", "two")

    assert matches(Matcher(name="accept", string_match=matcher_v3.StringMatcher(exact="one,two")), *several)
    assert not matches(Matcher(name="accept", string_match=ONE), *several)


def test_absent_header_matches_no_comparison_not_even_an_inverted_one() -> None:
    assert not matches(Matcher(name="x-a", string_match=ONE))
    assert not matches(Matcher(name="x-a", string_match=ONE, invert_match=True))
    assert matches(Matcher(name="x-a", string_match=ONE, invert_match=True, treat_missing_header_as_empty=True))


def test_presence_can_be_asked_for_and_inverted() -> None:
    assert matches(Matcher(name="x-a", present_match=True), ("x-a", ""))
    assert matches(Matcher(name="x-a", present_match=False))
    assert matches(Matcher(name="x-a", present_match=True, invert_match=True))
    assert matches(Matcher(name="x-a"), ("x-a", "1"))


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("9", True), ("10", False), ("-1", False), ("one", False)]
)
def test_range_ends_before_its_end(value: str, expected: bool) -> None:
    matcher = Matcher(name="x-a", range_match=type_v3.Int64Range(start=1, end=10))

    assert matches(matcher, ("x-a", value)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [(":authority", "a.test:80"), ("host", "a.test:80"), (":path", "/p"), (":method", "POST"), (":scheme", "http")],
)
def test_parts_of_the_request_are_headers_too(name: str, value: str) -> None:
    assert matches(Matcher(name=name, string_match=matcher_v3.StringMatcher(exact=value)))


def test_old_comparisons_are_not_followed() -> None:
    with pytest.warns(DeprecationWarning, match="exact_match"):
        old = Matcher(name="x-a", exact_match="one")

    with pytest.raises(CannotTell, match="x-a"):
        matches(old)
