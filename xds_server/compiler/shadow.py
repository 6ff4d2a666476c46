"""Which routes leave nothing for a later one, found without comparing every route with every other."""

from __future__ import annotations

from collections.abc import Iterator

from xds_server.compiler.http_route import Bound
from xds_server.compiler.route_match import is_wider
from xds_server.mesh.route import Match, MatchKind, StringMatch

_Standing = tuple[int, Bound]
"""A route behind its place in the order."""


class Earlier:
    """The routes that stand before, indexed by the path that they match."""

    def __init__(self) -> None:
        self._count = 0
        self._by_uri: dict[StringMatch, list[_Standing]] = {}
        self._any_case: list[_Standing] = []
        self._prefix_lengths: set[int] = set()

    def add(self, bound: Bound) -> None:
        """Let `bound` stand before all that is asked about from now on."""
        match = bound.route.match
        self._count += 1
        standing = (self._count, bound)
        if match.ignore_uri_case:
            self._any_case.append(standing)
            return
        uri = _uri(match)
        self._by_uri.setdefault(uri, []).append(standing)
        if uri.kind is MatchKind.PREFIX:
            self._prefix_lengths.add(len(uri.value))

    def wider_than(self, bound: Bound) -> Bound | None:
        """The first that takes every request of `bound`; None when some request may be left."""
        match = bound.route.match
        wider = (standing for standing in self._candidates(match) if is_wider(standing[1].route.match, match))
        return min(wider, key=lambda standing: standing[0], default=(0, None))[1]

    def _candidates(self, match: Match) -> Iterator[_Standing]:
        uri = _uri(match)
        keys = {uri, StringMatch(MatchKind.PREFIX, "/"), StringMatch(MatchKind.REGEX, ".*")}
        if uri.kind is not MatchKind.REGEX:
            keys |= {StringMatch(MatchKind.PREFIX, uri.value[:length]) for length in self._prefix_lengths}
        for key in keys:
            yield from self._by_uri.get(key, ())
        yield from self._any_case


def _uri(match: Match) -> StringMatch:
    return match.uri or StringMatch(MatchKind.PREFIX, "/")
