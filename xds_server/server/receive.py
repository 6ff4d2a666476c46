"""The port on which proxies tell of requests by gRPC: spans (OTLP) and access log entries (ALS). Off by default."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NoReturn

import grpc

from xds_server.errors import ConfigurationError, ProtocolViolation
from xds_server.server import access_log, otlp
from xds_server.telemetry.log_entry import LogEntry
from xds_server.telemetry.span import Span

MOST_BYTES = 4 << 20
"""In one message: what a proxy gathers for a second, many times over."""
_MOST_STREAMS = 10_000


class Receiver:
    """The handlers of both services.

    Args:
        take_spans, take_entries: called on the event loop.
    """

    def __init__(
        self, take_spans: Callable[[Iterable[Span]], None], take_entries: Callable[[Iterable[LogEntry]], None]
    ) -> None:
        self._take_spans = take_spans
        self._take_entries = take_entries

    def handlers(self) -> dict[str, Any]:
        """The gRPC method handlers by path."""
        return {
            otlp.EXPORT: grpc.unary_unary_rpc_method_handler(self._export),
            access_log.STREAM: grpc.stream_unary_rpc_method_handler(self._stream),
        }

    def export(self, data: bytes) -> bytes:
        """Take in an ExportTraceServiceRequest, and what is to be answered.

        Raises:
            ProtocolViolation: it is none.
        """
        self._take_spans(otlp.spans(data))
        return otlp.ACCEPTED

    async def _export(self, data: bytes, call: Any) -> bytes:
        try:
            return self.export(data)
        except ProtocolViolation as violation:
            await _abort(call, violation)

    async def _stream(self, messages: AsyncIterator[bytes], call: Any) -> bytes:
        sender = access_log.Sender()
        try:
            async for data in messages:
                self._take_entries(sender.entries(data))
        except ProtocolViolation as violation:
            await _abort(call, violation)
        return b""


class ReceivingPort:
    """A started port; made by `receive`."""

    def __init__(self, server: Any, port: int) -> None:
        self._server = server
        self.port = port

    async def stop(self) -> None:
        """End every stream; what was received is kept."""
        await self._server.stop(0)


async def receive(address: str, receiver: Receiver) -> ReceivingPort:
    """Open `address` ("HOST:PORT", where port 0 finds a free one) for `receiver`.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    options = [
        ("grpc.max_receive_message_length", MOST_BYTES),
        ("grpc.max_concurrent_streams", _MOST_STREAMS),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((_Handlers(receiver),))
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as failure:
        raise ConfigurationError(f"cannot receive on {address}: is the address free, and yours to bind?") from failure
    await server.start()
    return ReceivingPort(server, int(port))


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Bodies as bytes both ways."""

    def __init__(self, receiver: Receiver) -> None:
        self._by_path = receiver.handlers()

    def service(self, handler_call_details: Any) -> Any:
        return self._by_path.get(handler_call_details.method)


async def _abort(call: Any, violation: ProtocolViolation) -> NoReturn:
    await call.abort(grpc.StatusCode[violation.status], str(violation))
    raise AssertionError("abort raises")
