"""What was made from mesh values, by their identity, and forgotten with them.

Several views are translated in turn and most of what they see is the same, so nothing is dropped while its mesh value
lives: the compiler keeps that for as long as nothing about it changes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import compress, count
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Results of `make`, which must give no None and hold no reference to its argument."""

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make
        self._kept: WeakKeyDictionary[K, V] = WeakKeyDictionary()
        self._keys: Sequence[K] = ()
        """What the last call asked for, held strongly: most of it is asked for again, in the same order."""
        self._values: list[V] = []

    def each(self, keys: Sequence[K]) -> list[V]:
        """The result for each of `keys`, in order; the way to ask for thousands of which few are new. Read only."""
        if len(keys) != len(self._keys):
            self._values = self._looked_up(keys)
        elif changed := list(compress(count(), map(operator.is_not, keys, self._keys))):
            self._values = self._values.copy()
            for index in changed:
                self._values[index] = self.one(keys[index])
        self._keys = keys
        return self._values

    def one(self, key: K) -> V:
        """The result for `key`."""
        value = self._kept.get(key)
        if value is None:
            value = self._kept[key] = self._make(key)
        return value

    def _looked_up(self, keys: Sequence[K]) -> list[V]:
        """A weak look-up costs ten times as much as one among what was asked for last."""
        last = dict(zip(self._keys, self._values, strict=True))
        return [self.one(key) if (value := last.get(key)) is None else value for key in keys]

    def __len__(self) -> int:
        return len(self._kept)
