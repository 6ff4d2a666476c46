"""Every scenario again, in bytes over loopback gRPC: what stands around the machines adds nothing and loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenario import Options, Player, Request, Response, label, parse, scenarios
from tests.server.loopback import Client, Server, channel, started, until
from xds_server._proto import discovery_pb2
from xds_server.errors import ProtocolViolation
from xds_server.server import wire
from xds_server.server.ads import AdsStream
from xds_server.server.hub import Hub, Proxy
from xds_server.server.listen import ListenOptions
from xds_server.xds.channel import TypeStatus
from xds_server.xds.messages import DeltaRequest, DeltaResponse, SotwRequest, SotwResponse
from xds_server.xds.proxy_status import Variant
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot


class SlowServer(Server):
    """A server whose first snapshot may be long in coming: streams are accepted, and wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = asyncio.Event()
        self.hub = Hub(self._when_loaded)
        self.publish_next()

    def publish_next(self) -> None:
        """Put `snapshot` in force, or say that one is coming."""
        self._generation += 1
        self.hub.publish(self._generation)

    async def _when_loaded(self, proxies: Sequence[Proxy]) -> Sequence[Snapshot | None]:
        await self.loaded.wait()
        return await self._snapshots_for(proxies)


class GrpcDriver:
    """A server and one peer in one event loop, which runs only while a call of the driver does."""

    def __init__(self, runner: asyncio.Runner, variant: str, options: Options) -> None:
        self._runner = runner
        self._path = _method(variant, options).path
        self._options = ListenOptions(gate=options.gate, push_order=options.order)
        self._parts = AsyncExitStack()
        runner.run(self._start())

    def close(self) -> None:
        """End everything."""
        self._runner.run(self._parts.aclose())

    def offer(self, snapshot: Snapshot, expected: int) -> Sequence[Response]:
        """See `scenario.Driver`."""
        return self._runner.run(self._offer(snapshot, expected))

    def send(self, request: Request, expected: int) -> Sequence[Response]:
        """See `scenario.Driver`."""
        return self._runner.run(self._send(request, expected))

    def reconnect(self) -> None:
        """See `scenario.Driver`."""
        self._runner.run(self._reconnect())

    def status(self) -> dict[str, TypeStatus]:
        """Of the newest stream."""
        *_, newest = self._server.hub._streams
        assert isinstance(newest, AdsStream)
        return dict(newest._machine.status())

    async def _start(self) -> None:
        self._server = SlowServer()
        await self._parts.enter_async_context(started(self._server, options=self._options))
        self._connection = await self._parts.enter_async_context(channel(self._server))
        self._open()

    async def _reconnect(self) -> None:
        self._client.call.cancel()
        await until(lambda: not self._server.hub.proxies())
        self._open()

    def _open(self) -> None:
        self._client = Client(self._connection, self._path)
        self._sent, self._read = self._server.board.requests, self._pushes

    @property
    def _pushes(self) -> int:
        return self._server.board.pushes.total()

    async def _offer(self, snapshot: Snapshot, expected: int) -> Sequence[Response]:
        self._server.snapshot = snapshot
        self._server.loaded.set()
        self._server.publish_next()
        return await self._responses(expected)

    async def _send(self, request: Request, expected: int) -> Sequence[Response]:
        self._sent += 1
        await self._client.send_bytes(_bytes(request))
        return await self._responses(expected)

    async def _responses(self, expected: int) -> Sequence[Response]:
        """The expected responses, and any more that the server hands to gRPC until it has nothing left to do."""
        await until(lambda: self._client.call.done() or self._is_quiet())
        if self._client.call.done():
            raise ProtocolViolation((await self._client.call.code()).name, await self._client.call.details())
        due = max(expected, self._pushes - self._read)
        self._read += due
        return [_response(await self._client.response()) for _ in range(due)]

    def _is_quiet(self) -> bool:
        server = self._server
        idle = server.hub.is_idle or not server.loaded.is_set()
        return server.board.requests == self._sent and idle and not any(record.is_due for record in server.board._open)


def _method(variant: str, options: Options) -> wire.Method:
    (only,) = options.types or ("",)
    (method,) = (m for m in wire.METHODS if m.variant is Variant(variant) and m.type_url == only)
    return method


def _bytes(request: Request) -> bytes:
    message: Any
    if isinstance(request, SotwRequest):
        message = discovery_pb2.DiscoveryRequest(version_info=request.version, resource_names=request.names)
    else:
        assert isinstance(request, DeltaRequest)
        message = discovery_pb2.DeltaDiscoveryRequest(
            resource_names_subscribe=request.subscribe,
            resource_names_unsubscribe=request.unsubscribe,
            initial_resource_versions=request.initial_versions,
        )
    message.type_url, message.response_nonce = request.type_url, request.nonce
    if request.error is not None:
        message.error_detail.code, message.error_detail.message = request.error.code, request.error.message
    if request.node is not None:
        message.node.id = request.node.id
    return bytes(message.SerializeToString())


def _response(message: Any) -> Response:
    if isinstance(message, discovery_pb2.DiscoveryResponse):
        resources = tuple(_resource(entry) for entry in message.resources)
        return SotwResponse(message.type_url, message.version_info, message.nonce, resources)
    resources = tuple(_resource(entry.resource, entry.name, entry.version) for entry in message.resources)
    removed = tuple(message.removed_resources)
    return DeltaResponse(message.type_url, message.system_version_info, message.nonce, resources, removed)


def _resource(packed: Any, name: str = "", version: str = "") -> Resource:
    """A resource as it came; in SotW its name stands in its bytes alone."""
    resource = Resource(packed.type_url, name, version, packed.value)
    assert name in {"", label(resource).partition("@")[0]}
    return resource


@contextmanager
def driver(variant: str, options: Options) -> Iterator[GrpcDriver]:
    with asyncio.Runner() as runner:
        opened = GrpcDriver(runner, variant, options)
        try:
            yield opened
        finally:
            opened.close()


SERVED = [
    pytest.param(variant, path, id=f"{variant}-{path.stem}")
    for variant in ("sotw", "delta")
    for path in scenarios(variant)
]


@pytest.mark.parametrize(("variant", "path"), SERVED)
def test_server_speaks_as_the_scenario_says(variant: str, path: Path) -> None:
    """The file's name is the rule."""
    scenario = parse(path)

    with driver(variant, scenario.options) as opened:
        Player(opened, variant).play(scenario)
