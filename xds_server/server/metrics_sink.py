"""Envoy's metrics sink: proxies tell here what they counted, over the connection that proves who they are.

A stream is admitted as an xDS stream is, so that a proxy's numbers are put down to nobody else. What the numbers mean
is decided behind `Report`. Adding them takes some microseconds each, which is why it is done right on the loop: Envoy
sends a message each flush interval, with no more in it than `xds-server bootstrap` lets it keep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import grpc
import structlog
from google.protobuf.message import DecodeError

from xds_server._proto import metrics_pb2
from xds_server.errors import ProtocolViolation
from xds_server.server import wire
from xds_server.server.hub import Hub, Proxy
from xds_server.server.peer import peer_of

log = structlog.get_logger(__name__)

SERVICE = "envoy.service.metrics.v3.MetricsService"
METHOD = f"/{SERVICE}/StreamMetrics"
LIVE = "server.live"
"""A gauge, 0 from `POST /healthcheck/fail` on Envoy's admin page to `POST /healthcheck/ok`: it is about to go."""

_LONGEST_NAME = 1000
"""Characters of a statistic's name; those of the longest host and subset make 400. Names are remembered."""
_Message = metrics_pb2.StreamMetricsMessage


class Report(Protocol):
    """The book of one stream."""

    def begin(self) -> None:
        """A message begins; what follows is of it."""

    def count(self, name: str, more: float, /) -> None:
        """A counter grew by so much since it was last told of."""

    def level(self, name: str, value: float, /) -> None:
        """A gauge has this value now."""

    def time(self, name: str, timed: int, duration: float, buckets: Sequence[tuple[float, int]], /) -> None:
        """A histogram took up so many values, of that sum.

        `buckets` are (upper bound, how many are below it), up to the first that all are below.
        """

    def close(self) -> None:
        """The stream ended."""


Open = Callable[[Proxy], Report]
"""Opens the book of a proxy whose stream begins."""

Live = Callable[[Proxy, bool], None]
"""Hears whether a proxy goes on: first on each stream, when that changes, and again and again while it does not."""


class _Unheard:
    """Keeps nothing."""

    def begin(self) -> None:
        """See `Report`."""

    def count(self, name: str, more: float, /) -> None:
        """See `Report`."""

    def level(self, name: str, value: float, /) -> None:
        """See `Report`."""

    def time(self, name: str, timed: int, duration: float, buckets: Sequence[tuple[float, int]], /) -> None:
        """See `Report`."""

    def close(self) -> None:
        """See `Report`."""


def unheard(_: Proxy) -> Report:
    """An `Open` for servers that nobody asks about traffic."""
    return _Unheard()


def unasked(_: Proxy, _live: bool, /) -> None:
    """A `Live` for servers where nobody registers."""


class MetricsService:
    """Serves `METHOD`.

    Args:
        hub: what ends xDS streams ends these too.
        principal_of: see `csds.PrincipalOf`.
        admit: see `ads.Admit`.
        report: see `Open`.
        live: see `Live`.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        principal_of: Callable[[Any], str],
        admit: Callable[[Proxy], None],
        report: Open,
        live: Live,
    ) -> None:
        self._hub = hub
        self._principal_of = principal_of
        self._admit = admit
        self._report = report
        self._live = live

    def handlers(self) -> dict[str, Any]:
        """The gRPC method handler by path."""
        return {METHOD: grpc.stream_unary_rpc_method_handler(self._serve)}

    async def _serve(self, _requests: Any, call: Any) -> bytes:
        try:
            principal = self._principal_of(call)
            if not self._hub.is_ready:
                # Which services the ports of proxies belong to is not known yet.
                raise ProtocolViolation("UNAVAILABLE", "the first load has not finished; tell it later")
            first = await _read(call)
            if first is not None:
                await self._take(first, principal, call)
        except ProtocolViolation as violation:
            await call.abort(grpc.StatusCode[violation.status], str(violation))
        return b""

    async def _take(self, first: _Message, principal: str, call: Any) -> None:
        node = wire.node(first.identifier)
        if node is None:
            raise ProtocolViolation("INVALID_ARGUMENT", "the first message names no node")
        proxy = Proxy(node, peer_of(call), principal)
        self._admit(proxy)
        stream, report = _Stream(proxy), self._report(proxy)
        self._hub.host(stream)
        try:
            await stream.until_refused(self._add_all(first, call, proxy, report))
        finally:
            self._hub.dismiss(stream)
            report.close()

    async def _add_all(self, first: _Message, call: Any, proxy: Proxy, report: Report) -> None:
        message: _Message | None = first
        # Not taken for granted: what it said on a stream that broke may be past.
        was_live = False
        while message is not None:
            is_live = _add(message, report)
            if is_live is not None:
                if not (is_live and was_live):
                    self._live(proxy, is_live)
                was_live = is_live
            message = await _read(call)


class _Stream:
    """A `hub.Guest`."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._refused: asyncio.Future[ProtocolViolation] = asyncio.get_running_loop().create_future()

    def refuse(self, reason: ProtocolViolation) -> None:
        """See `hub.Guest`."""
        if not self._refused.done():
            self._refused.set_result(reason)

    async def until_refused(self, reading: Any) -> None:
        """Read until the peer leaves.

        Raises:
            ProtocolViolation: it must go, or what it sent is no such message.
        """
        task = asyncio.ensure_future(reading)
        try:
            await asyncio.wait((task, self._refused), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self._refused.result()
            await task
        finally:
            task.cancel()


async def _read(call: Any) -> _Message | None:
    """The next message; None when the peer has left."""
    data = await call.read()
    if data is grpc.aio.EOF:
        return None
    try:
        return _Message.FromString(data)
    except DecodeError:
        raise ProtocolViolation("INVALID_ARGUMENT", "malformed StreamMetricsMessage") from None


def _add(message: _Message, report: Report) -> bool | None:
    """Put down what a message tells; whether the proxy goes on, None where that is in another message."""
    is_live: bool | None = None
    report.begin()
    for family in message.envoy_metrics:
        name = family.name
        for metric in family.metric if len(name) <= _LONGEST_NAME else ():
            if metric.HasField("counter"):
                report.count(name, metric.counter.value)
            elif metric.HasField("gauge"):
                report.level(name, metric.gauge.value)
                is_live = metric.gauge.value > 0 if name == LIVE else is_live
            elif metric.histogram.sample_count:
                found = metric.histogram
                report.time(name, found.sample_count, found.sample_sum, _buckets(found))
    return is_live


def _buckets(found: metrics_pb2.Histogram) -> list[tuple[float, int]]:
    """Up to the first that all values are below: to look at the others is half of what a message costs."""
    total, buckets = found.sample_count, []
    for bucket in found.bucket:
        below = bucket.cumulative_count
        buckets.append((bucket.upper_bound, below))
        if below == total:
            break
    return buckets
