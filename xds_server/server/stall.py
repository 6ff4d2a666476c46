"""Notices a write that waits for a peer which shows no sign of life.

Made for the hot path: a write costs two attributes and no timer of its own, since a stream arms one at most once per
limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class StallWatch:
    """Watches the writes of one stream.

    Args:
        limit: seconds that a write may wait without a sign of life.
        stalled: called when one has.
        loop: whose clock and timers it uses.
    """

    def __init__(self, limit: float, stalled: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self._limit = limit
        self._stalled = stalled
        self._loop = loop
        self._alive_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.writing = False

    def begin(self) -> None:
        """A write begins."""
        self.writing = True
        self.alive()
        if self._timer is None:
            self._timer = self._loop.call_later(self._limit, self._look)

    def end(self) -> None:
        """It is done."""
        self.writing = False

    def alive(self) -> None:
        """The peer has said something."""
        self._alive_at = self._loop.time()

    def close(self) -> None:
        """The stream is over."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if not self.writing:
            return
        left = self._alive_at + self._limit - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._stalled()
