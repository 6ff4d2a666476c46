"""Our own spans on their way to a collector, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from tests.envoy.running import free_port
from tests.patience import PATIENCE
from tests.telemetry.values import span
from xds_server.server import otlp
from xds_server.server.export import SpanExporter
from xds_server.server.receive import Receiver, receive
from xds_server.telemetry.log_buffer import LogBuffer
from xds_server.telemetry.traces import Traces

RESOURCE = {"service.name": "xds-server"}


async def soon(look: Callable[[], object]) -> None:
    """Wait until `look` gives something true."""
    async with asyncio.timeout(PATIENCE):
        while not look():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


@asynccontextmanager
async def collecting(port: int = 0) -> AsyncIterator[tuple[int, Traces]]:
    """A collector: its port, and what it has taken."""
    taken = Traces()
    opened = await receive(f"127.0.0.1:{port}", Receiver(taken.add, LogBuffer().add))
    try:
        yield opened.port, taken
    finally:
        await opened.stop()


@asynccontextmanager
async def exporting(port: int, **options: Any) -> AsyncIterator[SpanExporter]:
    """An exporter that runs."""
    exporter = SpanExporter(f"127.0.0.1:{port}", is_tls=False, resource=RESOURCE, **options)
    running = asyncio.create_task(exporter.run())
    try:
        yield exporter
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_what_is_offered_arrives_under_the_name_of_who_sends() -> None:
    async with collecting() as (port, taken), exporting(port) as exporter:
        exporter.offer([span(1), span(2, 1)])
        await soon(lambda: exporter.exported == 2)

        (trace,) = taken.kept().latest(10)
        assert (trace.services, len(trace.spans), exporter.dropped) == (("xds-server",), 2, 0)


async def test_a_collector_that_comes_later_is_waited_for() -> None:
    port = free_port()
    async with exporting(port) as exporter:
        exporter.offer([span(1)])
        await asyncio.sleep(0.2)
        async with collecting(port) as (_, taken):
            await soon(lambda: taken.received == 1)
        assert exporter.dropped == 0


async def test_many_are_sent_in_parts_in_their_order() -> None:
    async with collecting() as (port, taken), exporting(port) as exporter:
        exporter.offer([span(number, trace=number // 100 + 1) for number in range(1, 1500)])
        await soon(lambda: taken.received == 1499)

        assert [trace.trace_id for trace in taken.kept().latest(20)] == [
            f"{number:032x}" for number in range(15, 0, -1)
        ]


@asynccontextmanager
async def stuck(answer: Callable[[bytes, Any], Awaitable[bytes]]) -> AsyncIterator[int]:
    """A collector that does as it likes."""
    method = grpc.unary_unary_rpc_method_handler(answer)
    service, _, name = otlp.EXPORT.removeprefix("/").partition("/")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


async def test_a_collector_that_never_answers_costs_a_bounded_queue() -> None:
    """What finds no room is dropped as a whole trace and counted, and so is what was not taken in time."""
    asked = asyncio.Event()

    async def never(_data: bytes, _call: Any) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable: it waits for ever")

    with capture_logs() as logged:
        async with stuck(never) as port, exporting(port, most_waiting=5, patience=0.3) as exporter:
            exporter.offer([span(1), span(2), span(3)])
            await asked.wait()
            exporter.offer([span(4), span(5), span(6)])
            assert exporter.dropped == 3
            exporter.offer([span(7), span(8)])
            await soon(lambda: exporter.dropped == 8)

            assert exporter.exported == 0
    (told,) = logged
    assert (told["event"], told["reason"]) == ("spans are not taken", "DEADLINE_EXCEEDED: Deadline Exceeded")


async def test_a_collector_that_refuses_is_told_of_once_and_so_is_its_return() -> None:
    refuses = [True, True, False]

    async def moody(_data: bytes, call: Any) -> bytes:
        if refuses.pop(0):
            await call.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")
        return otlp.ACCEPTED

    with capture_logs() as logged:
        async with stuck(moody) as port, exporting(port) as exporter:
            for number in (1, 2, 3):
                exporter.offer([span(number)])
                await soon(lambda: exporter.exported + exporter.dropped == number)  # noqa: B023 - awaited at once

    assert [one["event"] for one in logged] == ["spans are not taken", "spans are taken again"]
    assert logged[0]["reason"] == "RESOURCE_EXHAUSTED: enough"
    assert logged[1]["dropped"] == 2


async def test_what_is_left_at_the_end_is_sent() -> None:
    async with collecting() as (port, taken):
        async with exporting(port) as exporter:
            await asyncio.sleep(0)
            exporter.offer([span(1)])
        assert (exporter.exported, taken.received) == (1, 1)


async def test_at_the_end_nobody_waits_for_a_collector_that_is_away() -> None:
    """For a second at most."""
    async with asyncio.timeout(20), exporting(free_port()) as exporter:
        await asyncio.sleep(0)
        exporter.offer([span(1)])

    assert exporter.dropped == 1


async def test_a_certificate_is_asked_for_where_tls_is_spoken() -> None:
    """A collector that speaks plainly is not told anything."""
    async with collecting() as (port, taken):
        exporter = SpanExporter(f"127.0.0.1:{port}", is_tls=True, resource=RESOURCE, patience=1)
        running = asyncio.create_task(exporter.run())
        exporter.offer([span(1)])
        await soon(lambda: exporter.dropped == 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert taken.received == 0
