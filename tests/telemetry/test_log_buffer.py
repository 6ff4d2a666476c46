"""Entries are kept within bounds, and followed as they come."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from tests.telemetry.values import entry
from xds_server.telemetry.log_buffer import LogBuffer


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
    async with aclosing(buffer.follow("reviews")) as entries:
        assert (await anext(entries)).path == "/yes"


async def test_a_slow_follower_loses_the_oldest_and_holds_up_nobody() -> None:
    buffer = LogBuffer(most_waiting=2)
    async with aclosing(buffer.follow()) as entries:
        waiting = asyncio.ensure_future(anext(entries))
        await asyncio.sleep(0)
        buffer.add(entry(path=f"/{number}") for number in range(5))

        assert (await waiting).path == "/3"
