"""A real server on a loopback port and peers that speak raw bytes to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from tests.patience import PATIENCE
from xds_server._proto import discovery_pb2
from xds_server.server.ads import Authenticate
from xds_server.server.hub import Hub, Peer, Proxy
from xds_server.server.listen import Listener, ListenOptions, listen
from xds_server.server.metrics_sink import Live, Open, unasked, unheard
from xds_server.server.status import StatusBoard
from xds_server.xds import type_url
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
SOTW = f"{ADS}/StreamAggregatedResources"
DELTA = f"{ADS}/DeltaAggregatedResources"


def cluster(name: str, body: bytes = b"1") -> Resource:
    """A cluster; its content is its version."""
    return Resource(type_url.CLUSTER, name, body.decode(), body)


def endpoints(name: str, body: bytes = b"1") -> Resource:
    """A ClusterLoadAssignment; its content is its version."""
    return Resource(type_url.ENDPOINT, name, body.decode(), body)


class Server:
    """A running server whose snapshot the test sets; every node sees the same one."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.board = StatusBoard()
        self.hub = Hub(self._snapshots_for)
        self.listener: Listener
        self._generation = 0

    def publish(self, *resources: Resource) -> None:
        """Put these resources in force."""
        self.snapshot = Snapshot.of(resources)
        self._generation += 1
        self.hub.publish(self._generation)

    async def _snapshots_for(self, proxies: Sequence[Proxy]) -> Sequence[Snapshot | None]:
        return [self.snapshot] * len(proxies)


class Client:
    """One peer's stream, in bytes or in messages."""

    def __init__(
        self, channel: grpc.aio.Channel, path: str, *, node: str = "node-1", metadata: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.call: Any = channel.stream_stream(path)(metadata=tuple(metadata))
        self._delta = path.rpartition("/")[2].startswith("Delta")
        self._node: str | None = node

    async def send_bytes(self, data: bytes) -> None:
        """Write one message as it is."""
        await self.call.write(data)

    async def ask(self, url: str = "", *names: str, node: str | None = None, nonce: str = "", error: str = "") -> None:
        """Subscribe to names of a type, or answer a response. The first request names the node."""
        message: Any = discovery_pb2.DeltaDiscoveryRequest() if self._delta else discovery_pb2.DiscoveryRequest()
        message.type_url, message.response_nonce = url, nonce
        (message.resource_names_subscribe if self._delta else message.resource_names).extend(names)
        if error:
            message.error_detail.code, message.error_detail.message = 13, error
        if node is not None or self._node is not None:
            message.node.id, self._node = node if node is not None else self._node, None
        await self.send_bytes(message.SerializeToString())

    async def response(self) -> Any:
        """The next response.

        Raises:
            AssertionError: the stream ended instead.
        """
        async with asyncio.timeout(PATIENCE):
            data = await self.call.read()
        assert data is not grpc.aio.EOF, f"ended with {await self.call.code()}: {await self.call.details()}"
        kind = discovery_pb2.DeltaDiscoveryResponse if self._delta else discovery_pb2.DiscoveryResponse
        return kind.FromString(data)

    async def ack(self, response: Any, *names: str) -> None:
        """Take a response."""
        await self.ask(response.type_url, *names, nonce=response.nonce)

    async def ending(self) -> tuple[grpc.StatusCode, str]:
        """Status and text with which the server ends the stream.

        Of a stream that ends unasked, do not `ask` before: where grpc.aio cannot write any more and has not read the
        status yet, it makes up one of its own, INTERNAL, and keeps it.
        """
        async with asyncio.timeout(PATIENCE):
            return await self.call.code(), await self.call.details()


@asynccontextmanager
async def serving(
    *resources: Resource, authenticate: Authenticate | None = None, options: ListenOptions = ListenOptions()
) -> AsyncIterator[Server]:
    """A server that has published `resources`, until the block ends."""
    server = Server()
    server.publish(*resources)
    async with started(server, authenticate=authenticate, options=options):
        yield server


@asynccontextmanager
async def started(
    server: Server,
    *,
    address: str = "127.0.0.1:0",
    authenticate: Authenticate | None = None,
    report: Open = unheard,
    live: Live = unasked,
    options: ListenOptions = ListenOptions(),
) -> AsyncIterator[None]:
    """`server` listening, whether it has published anything or not."""
    everybody: Authenticate = authenticate or _everybody
    server.listener = await listen(
        address, server.hub, server.board, authenticate=everybody, report=report, live=live, options=options
    )
    running = asyncio.create_task(server.hub.run())
    try:
        yield
    finally:
        await server.listener.stop(0)
        running.cancel()


@asynccontextmanager
async def channel(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own to the server."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.listener.port}", options=options) as opened:
        yield opened


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it does not come to hold.
    """
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # most of what tests wait for has no event to wait on
            await asyncio.sleep(0.001)


def _everybody(_: Peer) -> str:
    return ""
