"""When changes are due, with time as a number; and the driver on a real loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from xds_server.store.debounce import Changes, Debounce

A, B = Path("a.yaml"), Path("b.yaml")


def test_nothing_is_due_before_a_change() -> None:
    assert Debounce(quiet=1, ceiling=10).due is None


def test_a_change_is_due_once_it_has_been_quiet() -> None:
    debounce = Debounce(quiet=1, ceiling=10)
    debounce.notice(frozenset({A}), now=5)

    assert debounce.due == 6


def test_a_further_change_moves_what_is_due() -> None:
    debounce = Debounce(quiet=1, ceiling=10)
    debounce.notice(frozenset({A}), now=5)
    debounce.notice(frozenset({A}), now=5.5)

    assert debounce.due == 6.5


def test_no_stream_of_changes_moves_it_past_the_ceiling() -> None:
    debounce = Debounce(quiet=1, ceiling=3)
    for now in (5, 5.9, 6.8, 7.7):
        debounce.notice(frozenset({A}), now)

    assert debounce.due == 8


def test_what_changed_is_gathered() -> None:
    debounce = Debounce(quiet=1, ceiling=10)
    debounce.notice(frozenset({A}), now=1)
    debounce.notice(frozenset({B}), now=1)

    assert debounce.take() == frozenset({A, B})


def test_anything_may_have_changed_is_never_narrowed_down() -> None:
    debounce = Debounce(quiet=1, ceiling=10)
    debounce.notice(None, now=1)
    debounce.notice(frozenset({B}), now=1)

    assert debounce.take() is None


def test_what_was_taken_is_not_due_again() -> None:
    debounce = Debounce(quiet=1, ceiling=10)
    debounce.notice(None, now=1)
    debounce.take()
    debounce.notice(frozenset({B}), now=2)

    assert debounce.take() == frozenset({B})
    assert debounce.due is None


def test_it_is_known_when_what_was_taken_began() -> None:
    """With the first notice, however many followed; a later one is of the next change."""
    debounce = Debounce(quiet=1, ceiling=10)
    debounce.notice(frozenset(), 5)
    debounce.notice(frozenset(), 5.5)
    debounce.take()
    debounce.notice(frozenset(), 9)

    assert debounce.began == 5


def test_a_costly_push_is_followed_by_as_much_rest() -> None:
    debounce = Debounce(quiet=1, ceiling=10)
    debounce.pushed(cost=4, now=20)
    debounce.notice(frozenset({A}), now=21)

    assert debounce.due == 24


def test_a_push_of_long_ago_delays_nothing() -> None:
    debounce = Debounce(quiet=1, ceiling=10)
    debounce.pushed(cost=4, now=20)
    debounce.notice(frozenset({A}), now=100)

    assert debounce.due == 101


def test_the_ceiling_holds_for_costly_pushes_too() -> None:
    debounce = Debounce(quiet=1, ceiling=3)
    debounce.pushed(cost=60, now=20)
    debounce.notice(frozenset({A}), now=21)

    assert debounce.due == 24


async def test_changes_settle_together() -> None:
    changes = Changes(Debounce(quiet=0.01, ceiling=10), asyncio.get_running_loop().time)
    waiting = asyncio.create_task(changes.settled())
    changes.notice(frozenset({A}))
    changes.notice(frozenset({B}))

    assert await waiting == frozenset({A, B})


async def test_each_quiet_spell_settles_once() -> None:
    changes = Changes(Debounce(quiet=0.01, ceiling=10), asyncio.get_running_loop().time)
    changes.notice(frozenset({A}))
    first = await changes.settled()
    changes.pushed(0.0)
    changes.notice(frozenset({B}))

    assert (first, await changes.settled()) == (frozenset({A}), frozenset({B}))
