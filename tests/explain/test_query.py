"""Query parameters as Envoy reads them."""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from xds_server.explain.query import query_matches, query_parameters

Matcher = route_v3.QueryParameterMatcher


def test_first_value_counts_and_stays_as_it_was_written() -> None:
    assert query_parameters("/a?q=%31&q=2&r&=x") == {"q": "%31", "r": "", "": "x"}
    assert query_parameters("/a") == {}


def test_without_a_comparison_presence_is_asked_for() -> None:
    assert query_matches(Matcher(name="r"), {"r": ""})
    assert query_matches(Matcher(name="r", present_match=True), {"r": ""})
    assert not query_matches(Matcher(name="r", present_match=True), {})
    assert not query_matches(Matcher(name="r", string_match=matcher_v3.StringMatcher(prefix="")), {})
