"""When to look: once changes have gone quiet, but never later than a ceiling after the first of them.

The rule is a small machine with the time passed in; `Changes` runs it on the event loop. Both know no more of files
than which were named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

Changed = frozenset[Path] | None
"""The files that may have changed; None when anything may have."""


class Debounce:
    """Gathers changes until they are due. Times are seconds of one monotonic clock.

    Args:
        quiet: no change for so long, and what was gathered is due (Istio's PILOT_DEBOUNCE_AFTER is 0.1).
        ceiling: longest wait after the first change, however many follow (PILOT_DEBOUNCE_MAX is 10).

    Attributes:
        began: when the first of the changes that were taken last was noticed; 0 before any was.
    """

    def __init__(self, quiet: float, ceiling: float) -> None:
        self._quiet = quiet
        self._ceiling = ceiling
        self.began = 0.0
        self._first: float | None = None
        self._last = 0.0
        self._rest_until = 0.0
        self._changed: Changed = frozenset()

    @property
    def due(self) -> float | None:
        """When to take what was gathered; None when nothing was. Each change moves it, never past the ceiling."""
        if self._first is None:
            return None
        return min(max(self._last + self._quiet, self._rest_until), self._first + self._ceiling)

    def notice(self, changed: Changed, now: float) -> None:
        """A change happened at `now`."""
        if self._first is None:
            self._first = now
        self._last = now
        self._changed = None if changed is None or self._changed is None else self._changed | changed

    def take(self) -> Changed:
        """All that changed since the last time; nothing is due after it."""
        changed = self._changed
        self.began = self.began if self._first is None else self._first
        self._first = None
        self._changed = frozenset()
        return changed

    def pushed(self, cost: float, now: float) -> None:
        """A push that ended at `now` took `cost` seconds; the next waits as long and leaves time for the rest."""
        self._rest_until = now + cost


class Changes:
    """A debounce on the event loop: hand `notice` to a watcher, and await `settled` in a loop.

    Args:
        debounce: the rule.
        clock: its clock, in seconds, such as the loop's `time`.
    """

    def __init__(self, debounce: Debounce, clock: Callable[[], float]) -> None:
        self._debounce = debounce
        self._clock = clock
        self._noticed = asyncio.Event()

    def notice(self, changed: Changed) -> None:
        """Something changed just now. Call it on the loop only."""
        self._debounce.notice(changed, self._clock())
        self._noticed.set()

    def pushed(self, cost: float) -> None:
        """The push of what was settled has ended and took `cost` seconds."""
        self._debounce.pushed(cost, self._clock())

    @property
    def began(self) -> float:
        """When the first notice came of what `settled` gave last, by the clock."""
        return self._debounce.began

    async def settled(self) -> Changed:
        """Wait for the next quiet moment after a change; gives what changed until then."""
        while True:
            due = self._debounce.due
            if due is None:
                self._noticed.clear()
                await self._noticed.wait()
            elif (left := due - self._clock()) > 0:
                await asyncio.sleep(left)
            else:
                return self._debounce.take()
