"""/debug/logs: access log entries, a JSON object in each line, and each new one as it comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing

from xds_server.telemetry.log_buffer import LogBuffer


async def log_lines(buffer: LogBuffer, service: str = "", *, follow: bool = False) -> AsyncIterator[str]:
    """The lines of those entries that concern `service`, or of all; with `follow` they do not end by themselves."""
    if not follow:
        for entry in buffer.entries(service):
            yield json.dumps(entry.as_json()) + "\n"
        return
    async with aclosing(buffer.follow(service)) as entries:
        async for entry in entries:
            yield json.dumps(entry.as_json()) + "\n"
