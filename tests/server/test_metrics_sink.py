"""What proxies report: read from the wire, put down to who they proved to be, ended with their other streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest

from tests.patience import PATIENCE
from tests.server.loopback import Server, channel, cluster, started, until
from xds_server._proto import metrics_pb2
from xds_server.errors import ProtocolViolation
from xds_server.server.hub import Peer, Proxy
from xds_server.server.metrics_sink import METHOD, Live, unasked


class Book:
    """A `Report` that remembers what it is told."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.told: list[tuple[object, ...]] = []
        self.closed = False

    def begin(self) -> None:
        """See `Report`."""
        self.told.append(("begin",))

    def count(self, name: str, more: float, /) -> None:
        """See `Report`."""
        self.told.append(("count", name, more))

    def level(self, name: str, value: float, /) -> None:
        """See `Report`."""
        self.told.append(("level", name, value))

    def time(self, name: str, timed: int, duration: float, buckets: Sequence[tuple[float, int]], /) -> None:
        """See `Report`."""
        self.told.append(("time", name, timed, duration, list(buckets)))

    def close(self) -> None:
        """See `Report`."""
        self.closed = True


def message(node: str = "", **counters: float) -> metrics_pb2.StreamMetricsMessage:
    """A message with these counters; with a node it is a stream's first."""
    made = metrics_pb2.StreamMetricsMessage()
    if node:
        made.identifier.node.id = node
    for name, value in counters.items():
        made.envoy_metrics.add(name=name).metric.add().counter.value = value
    return made


@asynccontextmanager
async def reporting(
    authenticate: Any = None, live: Live = unasked, *, ready: bool = True
) -> AsyncIterator[tuple[Server, list[Book], Any]]:
    """A server, which has loaded its policies if it is ready, the books that it opened, and a stream to its sink."""
    books: list[Book] = []

    def opened(proxy: Proxy) -> Book:
        books.append(Book(proxy))
        return books[-1]

    server = Server()
    if ready:
        server.publish(cluster("a"))
    async with started(server, authenticate=authenticate, report=opened, live=live), channel(server) as connection:
        yield server, books, connection.stream_unary(METHOD)()


async def status_of(call: Any) -> str:
    """How a call ended."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def test_counters_gauges_and_histograms_are_told_in_order() -> None:
    first = message("web", requests=3)
    first.envoy_metrics.add(name="active").metric.add().gauge.value = 7
    histogram = first.envoy_metrics.add(name="time").metric.add().histogram
    histogram.sample_count, histogram.sample_sum = 2, 9.5
    for bound, below in ((5, 1), (10, 2), (25, 2)):
        histogram.bucket.add(cumulative_count=below, upper_bound=bound)
    empty = first.envoy_metrics.add(name="unused").metric.add().histogram
    empty.bucket.add(cumulative_count=0, upper_bound=5)
    async with reporting() as (_, books, call):
        await call.write(first.SerializeToString())
        await call.write(message(requests=1).SerializeToString())
        await call.done_writing()
        assert await status_of(call) == "OK"

    (book,) = books
    assert book.proxy.node.id == "web"
    assert book.told == [
        ("begin",),
        ("count", "requests", 3),
        ("level", "active", 7),
        ("time", "time", 2, 9.5, [(5, 1), (10, 2)]),
        ("begin",),
        ("count", "requests", 1),
    ]
    await until(lambda: book.closed)


async def test_statistic_whose_name_is_too_long_to_be_remembered_is_passed_over() -> None:
    async with reporting() as (_, books, call):
        await call.write(message("web", **{"x" * 1001: 1, "y" * 1000: 2}).SerializeToString())
        await call.done_writing()
        assert await status_of(call) == "OK"

    assert books[0].told == [("begin",), ("count", "y" * 1000, 2)]


async def test_proxy_that_is_about_to_go_is_heard_until_it_says_otherwise() -> None:
    """Again and again, for the stream that registers it may begin after the first time; one that goes on is news once.

    That first time undoes what it may have said on a stream that broke.
    """
    heard: list[tuple[str, bool]] = []
    async with reporting(live=lambda proxy, live: heard.append((proxy.node.id, live))) as (_, _, call):
        for node, live in (("web", 1), ("", 1), ("", 0), ("", None), ("", 0), ("", 1), ("", 1)):
            told = message(node, requests=1)
            if live is not None:
                told.envoy_metrics.add(name="server.live").metric.add().gauge.value = live
            told.envoy_metrics.add(name="server.uptime").metric.add().gauge.value = 0
            await call.write(told.SerializeToString())
        await call.done_writing()
        assert await status_of(call) == "OK"

    assert heard == [("web", True), ("web", False), ("web", False), ("web", True)]


@pytest.mark.parametrize("data", [b"\xff", message(requests=1).SerializeToString()])
async def test_stream_that_does_not_begin_with_its_node_is_refused(data: bytes) -> None:
    async with reporting() as (_, books, call):
        await call.write(data)
        assert await status_of(call) == "INVALID_ARGUMENT"

    assert books == []


async def test_stream_is_turned_away_before_the_first_load() -> None:
    """Which services the proxy's ports belong to is not known yet: its numbers would be put down to others."""
    async with reporting(ready=False) as (_, books, call):
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(message("web", requests=1).SerializeToString())
            await call.done_writing()
        assert await status_of(call) == "UNAVAILABLE"

    assert books == []


async def test_peer_that_proves_nothing_is_turned_away_before_a_word() -> None:
    def nobody(_: Peer) -> str:
        raise ProtocolViolation("UNAUTHENTICATED", "no certificate")

    async with reporting(nobody) as (_, books, call):
        assert await status_of(call) == "UNAUTHENTICATED"

    assert books == []


async def test_principal_that_was_proved_goes_with_the_report() -> None:
    async with reporting(lambda _: "spiffe://td/ns/shop/sa/web") as (_, books, call):
        await call.write(message("web", requests=1).SerializeToString())
        await until(lambda: bool(books))

    assert books[0].proxy.principal == "spiffe://td/ns/shop/sa/web"


async def test_stream_ends_when_its_proxy_must_leave() -> None:
    """As with a revocation, or when the server goes away."""
    async with reporting() as (server, books, call):
        await call.write(message("web", requests=1).SerializeToString())
        await until(lambda: bool(books))
        server.hub.refuse(lambda proxy: proxy.node.id == "web", ProtocolViolation("UNAUTHENTICATED", "revoked"))
        assert await asyncio.wait_for(status_of(call), PATIENCE) == "UNAUTHENTICATED"
        await until(lambda: books[0].closed)
