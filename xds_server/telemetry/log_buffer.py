"""The entries of late, in memory and within bounds, and those who follow them as they come."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from xds_server.telemetry.log_entry import LogEntry

MOST_ENTRIES = 10_000
"""Kept at one time: about 10 MB, and at most some 50 MB."""
MOST_WAITING = 10_000
"""Entries that a follower may be behind; it loses what is older."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries somebody asks for: all, unless it says less.

    Attributes:
        service: only those that concern it, by any spelling of its name.
        failed: only those that did.
        tail: of those that are kept at most so many, the latest.
    """

    service: str = ""
    failed: bool = False
    tail: int | None = None

    def includes(self, entry: LogEntry) -> bool:
        """Whether it is one of them, however many there are."""
        return (not self.service or entry.concerns(self.service)) and (entry.failed or not self.failed)


ALL = Wanted()


class LogBuffer:
    """What was received. For the event loop alone."""

    def __init__(self, most: int = MOST_ENTRIES, most_waiting: int = MOST_WAITING) -> None:
        self._kept: deque[LogEntry] = deque(maxlen=most)
        self._most_waiting = most_waiting
        self._followers: set[_Follower] = set()
        self.received = 0
        """Entries since the start, forgotten ones included."""

    def add(self, entries: Iterable[LogEntry]) -> None:
        """Take in entries, and hand them to those who follow."""
        for entry in entries:
            self.received += 1
            self._kept.append(entry)
            for follower in self._followers:
                follower.waiting.append(entry)
        for follower in self._followers:
            follower.wake.set()

    def entries(self, wanted: Wanted = ALL) -> deque[LogEntry]:
        """Those that are kept, the oldest first."""
        return deque(filter(wanted.includes, self._kept), maxlen=wanted.tail)

    async def follow(self, wanted: Wanted = ALL) -> AsyncGenerator[LogEntry, None]:
        """Those that are kept, and then each as it comes, until the caller stops."""
        follower = _Follower(deque(self.entries(wanted), maxlen=self._most_waiting), asyncio.Event())
        follower.wake.set()
        self._followers.add(follower)
        try:
            while True:
                await follower.wake.wait()
                follower.wake.clear()
                while follower.waiting:
                    entry = follower.waiting.popleft()
                    if wanted.includes(entry):
                        yield entry
        finally:
            self._followers.discard(follower)

    def __len__(self) -> int:
        return len(self._kept)


class _Follower:
    """One who follows, by identity."""

    def __init__(self, waiting: deque[LogEntry], wake: asyncio.Event) -> None:
        self.waiting = waiting
        self.wake = wake
