"""When a write counts as stalled, by a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from xds_server.server.stall import StallWatch

LIMIT = 60.0


class Timer:
    """A timer of `Clock`."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        """Never fire."""
        self.cancelled = True


class Clock:
    """The part of an event loop that tells the time, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        """Now."""
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Call it when the clock has moved that far."""
        timer = Timer(self.now + delay, call)
        self.timers.append(timer)
        return timer

    def pass_by(self, seconds: float) -> None:
        """Move on, firing what falls due on the way."""
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.at <= end and not timer.cancelled]:
            timer = min(due, key=lambda one: one.at)
            self.timers.remove(timer)
            self.now = max(self.now, timer.at)
            timer.call()
        self.now = end


class Watched:
    """A watch, its clock, and how often it found a stall."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.stalls = 0
        self.watch = StallWatch(LIMIT, self._stalled, cast("asyncio.AbstractEventLoop", self.clock))

    def _stalled(self) -> None:
        self.stalls += 1


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_write_that_waits_for_the_limit_is_stalled(watched: Watched) -> None:
    watched.watch.begin()
    watched.clock.pass_by(LIMIT - 1)
    before = watched.stalls
    watched.clock.pass_by(1)

    assert (before, watched.stalls) == (0, 1)


def test_sign_of_life_gives_a_write_another_while(watched: Watched) -> None:
    watched.watch.begin()
    watched.clock.pass_by(LIMIT - 1)
    watched.watch.alive()
    watched.clock.pass_by(LIMIT - 1)
    before = watched.stalls
    watched.clock.pass_by(1)

    assert (before, watched.stalls) == (0, 1)


def test_write_that_is_done_is_not_stalled_however_long_the_peer_is_silent(watched: Watched) -> None:
    watched.watch.begin()
    watched.watch.end()
    watched.clock.pass_by(100 * LIMIT)

    assert watched.stalls == 0


def test_later_write_has_the_whole_limit_to_itself(watched: Watched) -> None:
    watched.watch.begin()
    watched.watch.end()
    watched.clock.pass_by(LIMIT - 1)
    watched.watch.begin()
    watched.clock.pass_by(LIMIT - 1)
    before = watched.stalls
    watched.clock.pass_by(1)

    assert (before, watched.stalls) == (0, 1)


def test_thousand_writes_arm_one_timer(watched: Watched) -> None:
    for _ in range(1000):
        watched.watch.begin()
        watched.watch.end()

    assert len(watched.clock.timers) == 1


def test_closed_watch_says_nothing(watched: Watched) -> None:
    watched.watch.begin()
    watched.watch.close()
    watched.clock.pass_by(100 * LIMIT)

    assert watched.stalls == 0
