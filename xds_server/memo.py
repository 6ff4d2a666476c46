"""Results of pure functions, remembered by the identity of what they were made from.

This is what makes cost follow change: what depends on an edited document is made anew, and everything else is the same
object as before, so that comparing by identity stops there.

Results are held weakly: one lives, and is found again, for as long as somebody uses it. Nothing has to be swept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple
from weakref import WeakValueDictionary

T = TypeVar("T")
Inputs = TypeVarTuple("Inputs")


class Memo:
    """What one series of computations remembers from each to the next.

    Not safe for use by two threads at once. A function that raises leaves nothing behind.
    """

    def __init__(self) -> None:
        self._results: dict[object, WeakValueDictionary[Any, Any]] = {}
        self._kept: dict[object, Any] = {}

    def __call__(self, function: Callable[[*Inputs], T], *inputs: *Inputs) -> T:
        """`function(*inputs)`: the same object for equal inputs, while anybody holds it.

        Inputs must be hashable and live as long as the result does; results must allow weak references.
        """
        results = self._results.get(function)
        if results is None:
            results = self._results.setdefault(function, WeakValueDictionary())
        found: T | None = results.get(inputs)
        if found is None:
            found = results[inputs] = function(*inputs)
        return found

    def kept(self, kind: Callable[[Memo, *Inputs], T], *inputs: *Inputs) -> T:
        """The one `kind(self, *inputs)` of this memo, made when first asked: for what is kept up to date in place."""
        key = (kind, inputs)
        if key not in self._kept:
            self._kept[key] = kind(self, *inputs)
        found: T = self._kept[key]
        return found

    def forget(self, kind: Callable[[Memo, *Inputs], T], *inputs: *Inputs) -> None:
        """Let the next `kept` make another: for one that was left half up to date by an exception."""
        self._kept.pop((kind, inputs), None)

    def __len__(self) -> int:
        return sum(len(results) for results in self._results.values())
