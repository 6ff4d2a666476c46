"""The port on which proxies tell of requests, over real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from envoy.data.accesslog.v3 import accesslog_pb2

from tests.envoy.running import free_port
from tests.server.test_access_log import requests
from tests.server.test_otlp import request
from xds_server._proto import trace_pb2
from xds_server.errors import ConfigurationError
from xds_server.server import access_log, otlp
from xds_server.server.receive import Receiver, receive
from xds_server.telemetry.log_buffer import LogBuffer
from xds_server.telemetry.traces import Traces


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Traces, LogBuffer, grpc.aio.Channel]]:
    traces, logs = Traces(), LogBuffer()
    port = await receive("127.0.0.1:0", Receiver(traces.add, logs.add))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port.port}") as channel:
        yield traces, logs, channel
    await port.stop()


async def test_spans_are_taken() -> None:
    async with receiving() as (traces, _, channel):
        span = trace_pb2.Span(trace_id=bytes(16), span_id=bytes(8))

        assert await channel.unary_unary(otlp.EXPORT)(request(span)) == b""
        assert len(traces) == 1


async def test_entries_are_taken_message_by_message() -> None:
    async with receiving() as (_, logs, channel):
        call = channel.stream_unary(access_log.STREAM)()
        for _ in range(3):
            await call.write(requests(accesslog_pb2.HTTPAccessLogEntry()))
        await call.done_writing()
        await call

        assert len(logs) == 3


async def test_what_is_malformed_is_refused_and_the_port_goes_on() -> None:
    async with receiving() as (traces, _, channel):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(otlp.EXPORT)(b"\xff\xff")

        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await channel.unary_unary(otlp.EXPORT)(request(trace_pb2.Span(trace_id=bytes(16), span_id=bytes(8))))
        assert len(traces) == 1


async def test_an_address_that_is_taken_is_said() -> None:
    address = f"127.0.0.1:{free_port()}"
    first = await receive(address, Receiver(Traces().add, LogBuffer().add))
    with pytest.raises(ConfigurationError):
        await receive(address, Receiver(Traces().add, LogBuffer().add))
    await first.stop()
