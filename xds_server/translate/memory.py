"""What was made from mesh values, by their identity, and forgotten with them.

Several views are translated in turn and most of what they see is the same, so nothing is dropped while its mesh value
lives: the compiler keeps that for as long as nothing about it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Results of `make`, which must give no None and hold no reference to its argument."""

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._kept: WeakKeyDictionary[K, V] = WeakKeyDictionary()
        self._last: dict[K, V] = {}
        """What the last call asked for, held strongly: a weak look-up costs ten times as much as a plain one."""

    def each(self, keys: Sequence[K]) -> list[V]:
        """The result for each of `keys`, in order; the way to ask for thousands of which few are new."""
        found = list(map(self._last.get, keys))
        if None in found or len(keys) != len(self._last):
            made = [self.one(key) if value is None else value for key, value in zip(keys, found, strict=True)]
            self._last = dict(zip(keys, made, strict=True))
            return made
        return [value for value in found if value is not None]

    def one(self, key: K) -> V:
        """The result for `key`."""
        value = self._kept.get(key)
        if value is None:
            value = self._kept[key] = self._make(key)
        return value

    def __len__(self) -> int:
        return len(self._kept)
