"""Whether a request has the headers that a route asks for.

Source: Envoy, HeaderMatcher, whose oneof of old comparisons (`exact_match` and so on) nothing here writes any more.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from xds_server.errors import CannotTell
from xds_server.explain.string_match import string_matches
from xds_server.explain.traffic import Request

_OLD = ("exact_match", "safe_regex_match", "prefix_match", "suffix_match", "contains_match")


def header_matches(matcher: route_v3.HeaderMatcher, request: Request) -> bool:
    """Whether `request` has what `matcher` asks for.

    An absent header matches no comparison, inverted or not, unless it is to be taken for an empty one. One that was
    sent several times matches when one of its values does, and an inverted comparison when none does.

    Raises:
        CannotTell: it is compared in a way that is not known here.
    """
    values = request.values(matcher.name.lower())
    if not values and matcher.treat_missing_header_as_empty:
        values = ("",)
    if matcher.string_match is None and matcher.range_match is None:
        return _present(matcher, values) != matcher.invert_match
    return bool(values) and any(_compared(matcher, value) for value in values) != matcher.invert_match


def _present(matcher: route_v3.HeaderMatcher, values: tuple[str, ...]) -> bool:
    """A matcher without any comparison asks for presence."""
    if any(getattr(matcher, name) is not None for name in _OLD):
        raise CannotTell(f"header {matcher.name!r} is compared in an old way")
    return bool(values) == (matcher.present_match is not False)


def _compared(matcher: route_v3.HeaderMatcher, value: str) -> bool:
    if matcher.string_match is not None:
        return string_matches(matcher.string_match, value)
    return matcher.range_match is not None and _in_range(matcher.range_match, value)


def _in_range(wanted: type_v3.Int64Range, value: str) -> bool:
    """Decimal numbers alone are in a range."""
    digits = value.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and wanted.start <= int(value) < wanted.end
