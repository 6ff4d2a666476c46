"""Log entries as lines of JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import cast

from tests.telemetry.values import entry
from xds_server.debug.logs import log_lines
from xds_server.telemetry.log_buffer import ALL, LogBuffer, Wanted


async def paths(buffer: LogBuffer, wanted: Wanted = ALL) -> list[str]:
    text = "".join([piece async for piece in log_lines(buffer, wanted)])
    return [json.loads(line)["path"] for line in text.splitlines()]


async def test_each_entry_is_a_line() -> None:
    buffer = LogBuffer()
    buffer.add([entry(path="/1"), entry(path="/2", cluster="outbound|80||other")])

    assert await paths(buffer) == ["/1", "/2"]
    assert await paths(buffer, Wanted(service="reviews")) == ["/1"]


async def test_many_come_in_few_pieces() -> None:
    buffer = LogBuffer()
    buffer.add(entry(path=f"/{number}") for number in range(1000))

    assert await paths(buffer) == [f"/{number}" for number in range(1000)]
    assert len([piece async for piece in log_lines(buffer)]) < 20


async def test_lines_that_are_followed_do_not_end() -> None:
    buffer = LogBuffer()
    lines = cast("AsyncGenerator[str, None]", log_lines(buffer, follow=True))
    waiting = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    buffer.add([entry(path="/new")])

    assert json.loads(await waiting)["path"] == "/new"
    await lines.aclose()
