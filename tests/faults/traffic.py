"""Requests at a steady rate through real Envoys to backends fast enough not to matter; every answer is counted.

Backends and callers live on one event loop in a thread of their own and speak just enough HTTP/1.1, so that thousands
of requests a second leave most of a processor to Envoy and to the server under test.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

BROKEN = "broken"
"""What is counted for a request whose connection ended before its answer was whole."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Flow:
    """Requests to one host through one Envoy.

    Attributes:
        answers: by status code, with the text where it is not 200; or BROKEN.
        bodies: answers with status 200, by the name of the backend that gave them.
    """

    answers: Counter[str] = field(default_factory=Counter)
    bodies: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Requests that came to an end."""
        return self.answers.total()

    @property
    def failed(self) -> dict[str, int]:
        """What was not answered with 200: how, and how often."""
        return {outcome: count for outcome, count in self.answers.items() if outcome != "200"}


class Traffic:
    """Backends and flows on a thread; made by `traffic`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._servers: dict[int, asyncio.Server] = {}
        self._accepted: set[asyncio.Transport] = set()

    def backend(self, name: str) -> int:
        """The port of a new backend that answers everything with its name."""
        server = self._on_loop(self._listen(lambda: _Backend(name, self._accepted)))
        port: int = server.sockets[0].getsockname()[1]
        self._servers[port] = server
        return port

    def retire(self, port: int) -> None:
        """Close a backend's port, for new connections."""
        self._loop.call_soon_threadsafe(self._servers.pop(port).close)

    @contextlib.contextmanager
    def flow(self, port: int, host: str, *, rate: float = 500, connections: int = 4) -> Iterator[Flow]:
        """Call `host` by the HTTP proxy port of an Envoy, `rate` requests a second at most, while the block runs.

        After the block every request that was begun has come to an end and is counted.
        """
        flow = Flow()
        pause = connections / rate
        callers = [_Caller(self._loop, flow, port, host, pause=pause) for _ in range(connections)]
        for caller in callers:
            self._loop.call_soon_threadsafe(caller.connect)
        try:
            yield flow
        finally:
            for caller in callers:
                self._on_loop(caller.finish())

    async def _listen(self, protocol: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        return await self._loop.create_server(protocol, "127.0.0.1", 0, backlog=1024)

    def _on_loop(self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        """Close all backends and their connections."""
        self._on_loop(self._close())

    async def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        for transport in tuple(self._accepted):
            transport.abort()
        while self._accepted:  # noqa: ASYNC110  # the loop tells each of its end in a turn to come
            await asyncio.sleep(0)


@contextlib.contextmanager
def traffic() -> Iterator[Traffic]:
    """A thread for backends and flows, while the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="traffic", daemon=True)
    thread.start()
    running = Traffic(loop)
    try:
        yield running
    finally:
        running.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Backend(asyncio.Protocol):
    """Answers each request, of which all have no body, with its name."""

    _transport: asyncio.Transport

    def __init__(self, name: str, accepted: set[asyncio.Transport]) -> None:
        self._accepted = accepted
        body = name.encode()
        self._answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._accepted.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._accepted.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer * data.count(b"\r\n\r\n"))


class _Caller(asyncio.Protocol):
    """One connection, one request at a time, and a new connection when it ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, flow: Flow, port: int, host: str, *, pause: float) -> None:
        self._loop = loop
        self._flow = flow
        self._port = port
        self._request = f"GET http://{host}/ HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        self._pause = pause
        self._next_at = loop.time()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._waiting = False
        self._finished: asyncio.Future[None] | None = None
        self._connecting: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """Open the connection; requests follow by themselves."""
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, "127.0.0.1", self._port)
        except OSError:
            self._flow.answers[BROKEN] += 1
            self._end_or(lambda: self._loop.call_later(self._pause, self.connect))

    async def finish(self) -> None:
        """Wait for the answer to the request that is under way, and send no other."""
        self._finished = self._loop.create_future()
        if self._waiting:
            await self._finished
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting:
            self._count(BROKEN)
        self._end_or(self.connect)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or (length and len(body) < int(length[1])):
            return
        self._received = b""
        status = head[9:12].decode()
        self._count(status if status == "200" else f"{status} {body.decode(errors='replace')}".strip())
        if status == "200":
            self._flow.bodies[body.decode()] += 1
        if b"\r\nconnection: close" in head.lower():
            assert self._transport is not None
            self._transport.close()  # Envoy drains: connection_lost opens the next
        else:
            self._end_or(self._schedule)

    def _count(self, outcome: str) -> None:
        self._waiting = False
        self._flow.answers[outcome] += 1

    def _schedule(self) -> None:
        self._next_at = max(self._next_at + self._pause, self._loop.time())
        self._loop.call_at(self._next_at, self._send)

    def _send(self) -> None:
        if self._transport is not None and not self._transport.is_closing() and self._finished is None:
            self._waiting = True
            self._transport.write(self._request)

    def _end_or(self, otherwise: Callable[[], object]) -> None:
        if self._finished is None:
            otherwise()
        elif not self._finished.done():
            self._finished.set_result(None)
