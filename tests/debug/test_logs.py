"""Log entries as lines of JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import cast

from tests.telemetry.values import entry
from xds_server.debug.logs import log_lines
from xds_server.telemetry.log_buffer import LogBuffer


async def test_each_entry_is_a_line() -> None:
    buffer = LogBuffer()
    buffer.add([entry(path="/1"), entry(path="/2", cluster="outbound|80||other")])

    assert [json.loads(line)["path"] async for line in log_lines(buffer)] == ["/1", "/2"]
    assert [json.loads(line)["path"] async for line in log_lines(buffer, "reviews")] == ["/1"]


async def test_lines_that_are_followed_do_not_end() -> None:
    buffer = LogBuffer()
    lines = cast("AsyncGenerator[str, None]", log_lines(buffer, follow=True))
    waiting = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    buffer.add([entry(path="/new")])

    assert json.loads(await waiting)["path"] == "/new"
    await lines.aclose()
