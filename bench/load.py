"""Requests as fast as they are answered, and how long each took: a process of its own beside what is measured.

    python -m bench.load PORT HOST CONNECTIONS SECONDS

By the HTTP proxy port of an Envoy. It prints a JSON list: seconds, then the milliseconds of every request. A request
that is not answered 200 ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from functools import partial


class Caller(asyncio.Protocol):
    """One connection, one request at a time."""

    _transport: asyncio.Transport

    def __init__(self, host: str, times: list[float], until: float) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._request = f"GET http://{host}/ HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        self._times = times
        self._until = until

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """An answer: it is small enough to come whole."""
        now = time.perf_counter()
        assert data.startswith(b"HTTP/1.1 200"), data[:100]
        self._times.append((now - self._sent) * 1e3)
        if now < self._until:
            self._send()
        else:
            self._transport.close()
            self.done.set_result(None)

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def load(port: int, host: str, connections: int, seconds: float) -> list[float]:
    """The milliseconds of every request."""
    times: list[float] = []
    until, loop = time.perf_counter() + seconds, asyncio.get_running_loop()
    callers = [Caller(host, times, until) for _ in range(connections)]
    for caller in callers:
        await loop.create_connection(partial(_same, caller), "127.0.0.1", port)
    await asyncio.gather(*(caller.done for caller in callers))
    return times


def _same(caller: Caller) -> Caller:
    return caller


if __name__ == "__main__":
    began = time.perf_counter()
    found = asyncio.run(load(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    print(json.dumps([time.perf_counter() - began, *found]))
