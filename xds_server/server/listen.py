"""Opens the port: the gRPC server, its options, and the order in which it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from xds_server.errors import ConfigurationError, ProtocolViolation
from xds_server.server import csds, metrics_sink, wire
from xds_server.server.ads import Admit, AdsService, Authenticate
from xds_server.server.health import Health
from xds_server.server.hub import Hub, Peer, Proxy
from xds_server.server.reflection import add_reflection
from xds_server.server.status import StatusBoard
from xds_server.server.tombstones import TombstoneBook
from xds_server.xds.type_url import PUSH_ORDER

_LONGER_THAN_ANY_DRAIN = 86_400.0
"""Seconds that gRPC leaves to open calls while a drain, which has a time of its own, goes on."""


def _anybody(_: Peer) -> str:
    """Takes every peer as it is: for loopback and Unix sockets."""
    return ""


def _anything(_: Proxy) -> None:
    """Lets every peer be the node that it says it is: for the same."""


@dataclass(frozen=True, slots=True)
class ListenOptions:
    """How the port behaves. The defaults serve a fleet of 10,000 proxies.

    Attributes:
        max_streams: streams that may be open or opening at one moment. With gRPC's own default of pending requests,
            2,000 streams opened at once lost 37 to 155 of them.
        receive_limit: bytes in one request. A reconnecting Envoy lists all that it has: 4.5 MB for 16,000 long names,
            and gRPC's default of 4 MiB would turn it away for ever.
        min_ping_interval: seconds between keepalive pings that peers may send; must be below Envoy's
            `connection_keepalive.interval`, or gRPC answers GOAWAY too_many_pings.
        keepalive_interval: seconds after which a silent connection is probed, so that dead peers are let go.
        keepalive_timeout: seconds to wait for the probe's answer.
        stall_limit, gate, push_order: see `AdsService`.
        max_age: seconds after which a connection is closed, give or take a tenth (gRPC's own jitter), so that its peer
            comes back with a new handshake: dates, renewals and revocations take effect, replicas are balanced again.
            0 is never.
        age_grace: seconds that its streams have after that.
    """

    max_streams: int = 100_000
    receive_limit: int = 64 << 20
    min_ping_interval: float = 5
    keepalive_interval: float = 30
    keepalive_timeout: float = 10
    stall_limit: float = 60
    gate: bool = True
    push_order: tuple[str, ...] = PUSH_ORDER
    max_age: float = 0
    age_grace: float = 1

    def channel_arguments(self) -> list[tuple[str, int]]:
        """As gRPC core names them."""
        ages = [
            ("grpc.max_connection_age_ms", round(self.max_age * 1000)),
            ("grpc.max_connection_age_grace_ms", round(self.age_grace * 1000)),
        ]
        return [
            *(ages if self.max_age else ()),
            ("grpc.max_concurrent_streams", self.max_streams),
            ("grpc.server.max_pending_requests", self.max_streams),
            ("grpc.server.max_pending_requests_hard_limit", self.max_streams),
            ("grpc.max_receive_message_length", self.receive_limit),
            ("grpc.max_send_message_length", -1),
            ("grpc.http2.min_ping_interval_without_data_ms", round(self.min_ping_interval * 1000)),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.keepalive_time_ms", round(self.keepalive_interval * 1000)),
            ("grpc.keepalive_timeout_ms", round(self.keepalive_timeout * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            # Two servers on one port would each get half of the proxies, in silence.
            ("grpc.so_reuseport", 0),
        ]


class Listener:
    """A started gRPC server; made by `listen`.

    Attributes:
        port: the TCP port that was bound; 0 for a Unix socket.
    """

    def __init__(self, server: Any, hub: Hub, health: Health, port: int) -> None:
        self._server = server
        self._hub = hub
        self._health = health
        self.port = port

    async def set_serving(self, serving: bool) -> None:
        """What the health service answers; say True once the first generation is published."""
        await self._health.set_serving(serving)

    async def drain(self, seconds: float) -> None:
        """Say NOT_SERVING, take no new streams (GOAWAY), and end the others with UNAVAILABLE over so many seconds.

        What is published meanwhile still goes out on those that are left. `stop` has to follow.
        """
        await self._health.set_serving(False)
        async with asyncio.TaskGroup() as tasks:
            closing = tasks.create_task(self._server.stop(_LONGER_THAN_ANY_DRAIN))
            await self._hub.drain(seconds, _going_away())
            closing.cancel()

    async def stop(self, grace: float = 5) -> None:
        """Take no new streams, end the others with UNAVAILABLE, and wait for that, `grace` seconds at most."""
        await self._health.set_serving(False)
        self._hub.refuse_all(_going_away())
        await self._server.stop(grace)


def _going_away() -> ProtocolViolation:
    return ProtocolViolation("UNAVAILABLE", "the server is going away")


async def listen(
    address: str,
    hub: Hub,
    board: StatusBoard,
    *,
    authenticate: Authenticate = _anybody,
    admit: Admit = _anything,
    report: metrics_sink.Open = metrics_sink.unheard,
    live: metrics_sink.Live = metrics_sink.unasked,
    credentials: grpc.ServerCredentials | None = None,
    tombstones: TombstoneBook | None = None,
    options: ListenOptions = ListenOptions(),
) -> Listener:
    """Open `address` and serve xDS on it; streams are turned away until the hub has a generation.

    Args:
        address: "HOST:PORT", where port 0 finds a free one, or "unix:PATH".
        hub: its `run` must be running beside.
        board: where streams report.
        authenticate: see `ads.Authenticate`.
        admit: see `ads.Admit`.
        report: see `metrics_sink.Open`.
        live: see `metrics_sink.Live`.
        credentials: TLS of the port; None is plaintext.
        tombstones: what is known of nodes that were connected before; None is nothing.
        options: see `ListenOptions`.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    server = grpc.aio.server(options=options.channel_arguments())
    service = AdsService(
        hub,
        board,
        authenticate=authenticate,
        admit=admit,
        stall_limit=options.stall_limit,
        gate=options.gate,
        push_order=options.push_order,
        tombstones=tombstones or TombstoneBook(),
    )
    client_status = csds.ClientStatusService(board, service.principal_of)
    sink = metrics_sink.MetricsService(hub, principal_of=service.principal_of, admit=admit, report=report, live=live)
    server.add_generic_rpc_handlers((_Handlers(service, client_status.handlers() | sink.handlers()),))
    health = Health((*wire.SERVICES, csds.SERVICE, metrics_sink.SERVICE))
    await health.add_to(server)
    add_reflection(server)
    port = _bind(server, address, credentials)
    await server.start()
    return Listener(server, hub, health, port)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Envoy's method names, with bodies as bytes both ways."""

    def __init__(self, service: AdsService, beside: dict[str, Any]) -> None:
        self._by_path = beside | {
            method.path: grpc.stream_stream_rpc_method_handler(_behaviour(service, method)) for method in wire.METHODS
        }

    def service(self, handler_call_details: Any) -> Any:
        return self._by_path.get(handler_call_details.method)


def _behaviour(service: AdsService, method: wire.Method) -> Callable[[Any, Any], Any]:
    async def serve(_requests: Any, call: Any) -> None:
        await service.serve(method, call)

    return serve


def _bind(server: Any, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as failure:
        raise ConfigurationError(f"cannot listen on {address}: is the address free, and yours to bind?") from failure
    return 0 if address.startswith("unix:") else int(port)
