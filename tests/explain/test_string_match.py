"""Every way in which Envoy compares a text."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from envoy_data_plane.xds.core import v3 as xds_core_v3

from xds_server.errors import CannotTell
from xds_server.explain.string_match import string_matches

Matcher = matcher_v3.StringMatcher


def regex(pattern: str) -> Matcher:
    return Matcher(safe_regex=matcher_v3.RegexMatcher(regex=pattern))


@pytest.mark.parametrize(
    ("matcher", "takes", "refuses"),
    [
        (Matcher(exact="abc"), "abc", "ABC"),
        (Matcher(prefix="ab"), "abc", "cab"),
        (Matcher(suffix="bc"), "abc", "bca"),
        (Matcher(contains="b"), "abc", "ac"),
        (Matcher(exact="abc", ignore_case=True), "aBC", "ab"),
        (Matcher(contains="B", ignore_case=True), "abc", "ac"),
        (regex("a.c"), "abc", "xabc"),
        (regex("a|ab"), "ab", "b"),
        (regex("(?i)abc"), "ABC", "ab"),
    ],
)
def test_text_is_compared_as_the_matcher_says(matcher: Matcher, takes: str, refuses: str) -> None:
    assert string_matches(matcher, takes)
    assert not string_matches(matcher, refuses)


def test_case_is_folded_for_ascii_alone() -> None:
    assert not string_matches(Matcher(exact="É", ignore_case=True), "é")


def test_extension_is_not_followed() -> None:
    with pytest.raises(CannotTell):
        string_matches(Matcher(custom=xds_core_v3.TypedExtensionConfig(name="x")), "a")
