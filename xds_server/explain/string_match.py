"""Whether a text is what a StringMatcher asks for. Patterns are RE2's, as in Envoy, and never Python's."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from xds_server.errors import CannotTell


def string_matches(matcher: matcher_v3.StringMatcher, text: str) -> bool:
    """Whether `text` matches.

    Raises:
        CannotTell: the matcher is an extension.
    """
    if matcher.safe_regex is not None:
        return regex_matches(matcher.safe_regex.regex, text)  # whatever ignore_case says: Envoy leaves it to (?i)
    for wanted, compare in (
        (matcher.exact, str.__eq__),
        (matcher.prefix, str.startswith),
        (matcher.suffix, str.endswith),
        (matcher.contains, str.__contains__),
    ):
        if wanted is not None:
            return bool(compare(_folded(text, matcher), _folded(wanted, matcher)))
    raise CannotTell("a string is compared by an extension")


def regex_matches(pattern: str, text: str) -> bool:
    """Whether RE2 matches the whole of `text`."""
    return _compiled(pattern).fullmatch(text) is not None


def _folded(text: str, matcher: matcher_v3.StringMatcher) -> str:
    return ascii_lower(text) if matcher.ignore_case else text


def ascii_lower(text: str) -> str:
    """As Envoy folds case: ASCII letters alone."""
    return text.encode().lower().decode()


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern)
