"""Sends spans of our own to a collector (OTLP by gRPC), beside everything else and at nobody's expense.

A collector that is away or stuck costs a bounded queue: what does not fit, and what it has not taken in time, is
dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import structlog

from xds_server.server.otlp import EXPORT, export_request
from xds_server.telemetry.span import Span

log = structlog.get_logger(__name__)

MOST_WAITING = 2048
"""Spans in the queue."""
MOST_AT_ONCE = 512
PATIENCE = 30.0
"""Seconds for a collector to come back and take a batch; the queue fills meanwhile."""
FAREWELL = 1.0
"""Seconds for what is left when the server stops."""
_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 5000)]


class SpanExporter:
    """A queue, and the channel that it empties into. For the event loop alone; `offer` never waits.

    Args:
        target: HOST:PORT of the collector.
        is_tls: it shows a certificate that the system's roots vouch for.
        resource: the attributes of who sends, such as service.name.
        most_waiting, patience: see MOST_WAITING and PATIENCE.

    Attributes:
        exported, dropped: spans since the start.
    """

    def __init__(
        self,
        target: str,
        *,
        is_tls: bool,
        resource: Mapping[str, str],
        most_waiting: int = MOST_WAITING,
        patience: float = PATIENCE,
    ) -> None:
        self._target = target
        self._is_tls = is_tls
        self._resource = resource
        self._most_waiting = most_waiting
        self._patience = patience
        self._waiting: deque[Span] = deque()
        self._wake = asyncio.Event()
        self._is_taken = True
        self.exported = 0
        self.dropped = 0

    def offer(self, spans: Sequence[Span]) -> None:
        """Have a trace sent when it may be: whole, or not at all where the queue is full."""
        if len(self._waiting) + len(spans) > self._most_waiting:
            self.dropped += len(spans)
            return
        self._waiting.extend(spans)
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled, and then once more, in a hurry, what is left."""
        async with self._channel() as channel:
            export = channel.unary_unary(EXPORT)
            try:
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    while self._waiting:
                        await self._send(export, self._patience)
            finally:
                if self._waiting:
                    await self._send(export, FAREWELL)

    def _channel(self) -> Any:
        if self._is_tls:
            return grpc.aio.secure_channel(self._target, grpc.ssl_channel_credentials(), options=_RECONNECT)
        return grpc.aio.insecure_channel(self._target, options=_RECONNECT)

    async def _send(self, export: Any, patience: float) -> None:
        """Send the oldest; they leave the queue when they are taken, or not in time."""
        batch = [self._waiting[place] for place in range(min(len(self._waiting), MOST_AT_ONCE))]
        try:
            await export(export_request(batch, self._resource), timeout=patience, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            self.dropped += len(batch)
            self._note(taken=False, reason=f"{error.code().name}: {error.details()}")
        else:
            self.exported += len(batch)
            self._note(taken=True)
        for _ in batch:
            self._waiting.popleft()

    def _note(self, *, taken: bool, reason: str = "") -> None:
        """Say so when it changes."""
        if taken and not self._is_taken:
            log.info("spans are taken again", collector=self._target, dropped=self.dropped)
        elif not taken and self._is_taken:
            log.warning("spans are not taken", collector=self._target, reason=reason)
        self._is_taken = taken
