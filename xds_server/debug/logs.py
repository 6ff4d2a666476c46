"""/debug/logs: access log entries, a JSON object in each line, and each new one as it comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from itertools import islice

from xds_server.telemetry.log_buffer import ALL, LogBuffer, Wanted
from xds_server.telemetry.log_entry import LogEntry

_AT_ONCE = 100
"""Entries in one piece of an answer: to send each by itself takes longer than to write it, and 100 hold up nobody."""


async def log_lines(buffer: LogBuffer, wanted: Wanted = ALL, *, follow: bool = False) -> AsyncIterator[str]:
    """The entries that are wanted, in pieces of whole lines; with `follow` they do not end by themselves."""
    if not follow:
        entries = iter(buffer.entries(wanted))
        while piece := _lines(islice(entries, _AT_ONCE)):
            yield piece
        return
    async with aclosing(buffer.follow(wanted)) as followed:
        async for entry in followed:
            yield _lines([entry])


def _lines(entries: Iterable[LogEntry]) -> str:
    return "".join(json.dumps(entry.as_json()) + "\n" for entry in entries)
