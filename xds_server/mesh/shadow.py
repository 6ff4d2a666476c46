"""Which routes leave nothing for a later one, and the one list that the routes of several VirtualServices make.

Found without comparing every route with every other. Works on whatever has a match: the compiler's routes with their
places, and a view's routes alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from xds_server.mesh.route import HeaderMatch, Match, MatchKind, StringMatch

T = TypeVar("T")


def merged(rules: Iterable[Sequence[T]], match_of: Callable[[T], Match]) -> tuple[list[T], list[tuple[T, T]]]:
    """Routes that some request can reach, catch-alls last; and each other one, with what stands before it.

    A route behind the catch-all of its own VirtualService stays behind it: only whole VirtualServices change places.

    Args:
        rules: the routes of each VirtualService, in order of precedence.
        match_of: what a route matches.
    """
    reachable: list[T] = []
    hidden: list[tuple[T, T]] = []
    for routes in rules:
        end = next((i for i, route in enumerate(routes) if match_of(route).is_catch_all), len(routes))
        reachable += routes[: end + 1]
        hidden += [(route, routes[end]) for route in routes[end + 1 :]]
    earlier, kept = Earlier(match_of), []
    for route in sorted(reachable, key=lambda route: match_of(route).is_catch_all):
        wider = earlier.wider_than(match_of(route))
        if wider is None:
            earlier.add(route)
            kept.append(route)
        else:
            hidden.append((route, wider))
    return kept, hidden


class Earlier(Generic[T]):
    """The routes that stand before, indexed by the path that they match."""

    def __init__(self, match_of: Callable[[T], Match]) -> None:
        self._match_of = match_of
        self._count = 0
        self._by_uri: dict[StringMatch, list[tuple[int, T]]] = {}
        self._any_case: list[tuple[int, T]] = []
        self._prefix_lengths: set[int] = set()

    def add(self, route: T) -> None:
        """Let `route` stand before all that is asked about from now on."""
        match = self._match_of(route)
        self._count += 1
        standing = (self._count, route)
        if match.ignore_uri_case:
            self._any_case.append(standing)
            return
        uri = _uri(match)
        self._by_uri.setdefault(uri, []).append(standing)
        if uri.kind is MatchKind.PREFIX:
            self._prefix_lengths.add(len(uri.value))

    def wider_than(self, match: Match) -> T | None:
        """The first that takes every request of `match`; None when some request may be left."""
        wider = (standing for standing in self._candidates(match) if is_wider(self._match_of(standing[1]), match))
        first = min(wider, key=lambda standing: standing[0], default=None)
        return None if first is None else first[1]

    def _candidates(self, match: Match) -> Iterator[tuple[int, T]]:
        uri = _uri(match)
        keys = {uri, StringMatch(MatchKind.PREFIX, "/"), StringMatch(MatchKind.REGEX, ".*")}
        if uri.kind is not MatchKind.REGEX:
            keys |= {StringMatch(MatchKind.PREFIX, uri.value[:length]) for length in self._prefix_lengths}
        for key in keys:
            yield from self._by_uri.get(key, ())
        yield from self._any_case


def _uri(match: Match) -> StringMatch:
    return match.uri or StringMatch(MatchKind.PREFIX, "/")


def is_wider(wide: Match, narrow: Match) -> bool:
    """Whether every request that `narrow` matches is matched by `wide` too, as far as the two texts alone decide it.

    Regular expressions are compared by their text: False may mean "nobody knows".
    """
    return (
        _uri_is_wider(wide, narrow)
        and all(
            _is_wider(getattr(wide, name), getattr(narrow, name), case=True)
            for name in ("scheme", "method", "authority")
        )
        and all(any(_header_is_wider(mine, other) for other in narrow.headers) for mine in wide.headers)
        and all(
            any(mine.name == other.name and _is_wider(mine.match, other.match, case=True) for other in narrow.query)
            for mine in wide.query
        )
        and wide.port in {None, narrow.port}
        and set(wide.source_labels) <= set(narrow.source_labels)
        and wide.source_namespace in {"", narrow.source_namespace}
    )


def _uri_is_wider(wide: Match, narrow: Match) -> bool:
    if wide.uri in {None, StringMatch(MatchKind.PREFIX, "/"), StringMatch(MatchKind.REGEX, ".*")}:
        return True
    return _is_wider(wide.uri, narrow.uri, case=not wide.ignore_uri_case) and (
        wide.ignore_uri_case or not narrow.ignore_uri_case
    )


def _header_is_wider(wide: HeaderMatch, narrow: HeaderMatch) -> bool:
    if wide.name.lower() != narrow.name.lower() or wide.invert != narrow.invert:
        return False
    return wide.match == narrow.match if wide.invert else _is_wider(wide.match, narrow.match, case=True)


def _is_wider(wide: StringMatch | None, narrow: StringMatch | None, *, case: bool) -> bool:
    if wide is None or wide == narrow:
        return True
    if narrow is None:
        return False
    if wide.kind is MatchKind.PRESENT:
        return True
    if not {wide.kind, narrow.kind} <= {MatchKind.EXACT, MatchKind.PREFIX}:
        return False
    mine, other = (wide.value, narrow.value) if case else (wide.value.lower(), narrow.value.lower())
    if wide.kind is MatchKind.PREFIX:
        return other.startswith(mine)
    return narrow.kind is MatchKind.EXACT and mine == other
