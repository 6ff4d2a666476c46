"""Mappings that are kept up to date: told what changed, they say what changes with it.

A compile step is a pure function that makes one row; which rows an edit touches is found here. So an edit costs what it
touches, however large the mesh is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from xds_server.compiler.finding import Outcome
from xds_server.policy.document import Document
from xds_server.problem import Problem

K = TypeVar("K")
S = TypeVar("S", str, tuple[str, str])
V = TypeVar("V")
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Diff:
    """Documents that are gone and documents that are new; an edited one is both."""

    removed: frozenset[Document] = frozenset()
    added: frozenset[Document] = frozenset()


class Table(Generic[K, V]):
    """A row for each key, and the problems of rows that have some."""

    def __init__(self) -> None:
        self.rows: dict[K, Outcome[V]] = {}
        self._problems: dict[K, tuple[Problem, ...]] = {}

    def remake(self, keys: Iterable[K], make: Callable[[K], Outcome[V] | None]) -> set[K]:
        """Make the rows of `keys` again, None for no row; gives the keys whose row is now another object."""
        changed = set()
        for key in keys:
            row = make(key)
            if row is self.rows.get(key):
                continue
            changed.add(key)
            if row is None:
                del self.rows[key]
            else:
                self.rows[key] = row
            self._tell(key, row)
        return changed

    def get(self, key: K) -> V | None:
        """What stands in the row of `key`."""
        row = self.rows.get(key)
        return None if row is None else row.value

    @property
    def all_problems(self) -> Iterator[Problem]:
        """The problems of all rows, in no order to rely on; rows without problems cost nothing."""
        return chain.from_iterable(self._problems.values())

    def _tell(self, key: K, row: Outcome[Any] | None) -> None:
        if row is not None and row.problems:
            self._problems[key] = row.problems
        else:
            self._problems.pop(key, None)


def in_order(before: Mapping[S, V], table: Table[S, V], changed: Collection[S]) -> dict[S, V]:
    """What stands in the rows, sorted by key, given the same from before `changed` became others."""
    if all((key in before) == (key in table.rows) for key in changed):
        return {**before, **{key: table.rows[key].value for key in changed if key in table.rows}}
    return {key: table.rows[key].value for key in sorted(table.rows)}


class Index(Generic[K, M]):
    """Which members stand under which keys."""

    def __init__(self) -> None:
        self._members: dict[K, dict[M, None]] = {}
        self._keys: dict[M, tuple[K, ...]] = {}

    def put(self, member: M, keys: Collection[K]) -> set[K]:
        """Let `member` stand under these keys and no others; gives the keys that it stood or stands under."""
        before = self._keys.pop(member, ())
        for key in before:
            members = self._members[key]
            del members[member]
            if not members:
                del self._members[key]
        if keys:
            self._keys[member] = tuple(dict.fromkeys(keys))
            for key in self._keys[member]:
                self._members.setdefault(key, {})[member] = None
        return {*before, *keys}

    def under(self, key: K) -> Collection[M]:
        """The members under `key`, in no order to rely on."""
        return self._members.get(key, {}).keys()

    def of(self, member: M) -> tuple[K, ...]:
        """The keys that `member` stands under."""
        return self._keys.get(member, ())

    @property
    def keys(self) -> Collection[K]:
        """Every key that has members."""
        return self._members.keys()

    def __contains__(self, key: object) -> bool:
        return key in self._members
