"""Entries are kept within bounds, and followed as they come."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from tests.telemetry.values import entry
from xds_server.telemetry.log_buffer import LogBuffer, Wanted


def test_the_oldest_entry_is_forgotten_first() -> None:
    buffer = LogBuffer(most=2)
    buffer.add(entry(path=f"/{number}") for number in range(3))

    assert [each.path for each in buffer.entries()] == ["/1", "/2"]
    assert (len(buffer), buffer.received) == (2, 3)


async def test_a_follower_gets_what_is_kept_and_then_what_comes() -> None:
    buffer = LogBuffer()
    buffer.add([entry(path="/before")])
    async with aclosing(buffer.follow()) as entries:
        assert (await anext(entries)).path == "/before"
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(0)
        buffer.add([entry(path="/after")])

        assert (await waiting).path == "/after"


async def test_a_follower_is_told_only_of_the_service_that_it_asks_for() -> None:
    buffer = LogBuffer()
    buffer.add([entry(path="/no", cluster="outbound|80||other"), entry(path="/yes")])
    async with aclosing(buffer.follow(Wanted(service="reviews"))) as entries:
        assert (await anext(entries)).path == "/yes"


def test_the_latest_are_counted_among_what_is_wanted() -> None:
    """Else the last ten that failed would be those of the last ten that did."""
    buffer = LogBuffer()
    buffer.add(entry(path=f"/{number}", status=503 if number < 3 else 200) for number in range(5))

    assert [each.path for each in buffer.entries(Wanted(failed=True, tail=2))] == ["/1", "/2"]
    assert [each.path for each in buffer.entries(Wanted(tail=9))] == ["/0", "/1", "/2", "/3", "/4"]


async def test_a_follower_who_wants_none_of_what_is_kept_gets_what_comes() -> None:
    buffer = LogBuffer()
    buffer.add([entry(path="/before")])
    async with aclosing(buffer.follow(Wanted(tail=0))) as entries:
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(0)
        buffer.add([entry(path="/after")])

        assert (await waiting).path == "/after"


async def test_a_slow_follower_loses_the_oldest_and_holds_up_nobody() -> None:
    buffer = LogBuffer(most_waiting=2)
    async with aclosing(buffer.follow()) as entries:
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(0)
        buffer.add(entry(path=f"/{number}") for number in range(5))

        assert (await waiting).path == "/3"
