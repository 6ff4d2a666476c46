"""What one change to many streams costs, as a ratio to bare grpc.aio that sends the same ready bytes.

    python -m bench.fanout [--streams 1000] [--connections 100] [--rounds 10] [--bytes 1000]

Both servers stand in this process, each with its own fleet in a process beside it, and their rounds alternate. A round
starts with the change and ends when the last stream's ACK is in. Processor time is this process's alone; the table
gives medians.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import grpc

from bench.fleet import EVERYTHING
from xds_server.server import wire
from xds_server.server.hub import Hub, Proxy
from xds_server.server.listen import Listener, ListenOptions, listen
from xds_server.server.status import StatusBoard
from xds_server.xds import type_url
from xds_server.xds.messages import DeltaResponse
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot


class Server(Protocol):
    """One of the two that are compared."""

    port: int

    def push(self, resource: Resource) -> None:
        """Send `resource` to every stream."""

    def answers(self) -> int:
        """Responses acknowledged so far, over all streams."""

    def streams(self) -> int:
        """Connected now."""

    async def stop(self) -> None:
        """Close the port."""


class Bare(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """grpc.aio and nothing else: a queue and two tasks per stream."""

    def __init__(self) -> None:
        self._queues: list[asyncio.Queue[bytes]] = []
        self._requests = 0
        self._opened = 0
        self._latest = b""
        self._server = grpc.aio.server(options=ListenOptions().channel_arguments())
        self._server.add_generic_rpc_handlers((self,))
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")

    @classmethod
    async def started(cls, first: Resource) -> Bare:
        """A server that sends `first` to whoever comes."""
        server = cls()
        server.push(first)
        await server._server.start()
        return server

    def push(self, resource: Resource) -> None:
        """See Server."""
        response = DeltaResponse(resource.type_url, resource.version, resource.version, (resource,))
        self._latest = wire.delta_body(response)
        for queue in self._queues:
            queue.put_nowait(self._latest)

    def answers(self) -> int:
        """See Server."""
        return self._requests - self._opened

    def streams(self) -> int:
        """See Server."""
        return len(self._queues)

    async def stop(self) -> None:
        """See Server."""
        await self._server.stop(0)

    def service(self, _: Any) -> Any:
        """Every method is the same one."""
        return grpc.stream_stream_rpc_method_handler(self._serve)

    async def _serve(self, _: Any, call: Any) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        queue.put_nowait(self._latest)
        self._queues.append(queue)
        self._opened += 1
        reader = asyncio.create_task(self._read(call))
        try:
            while True:
                await call.write(await queue.get())
        finally:
            reader.cancel()
            self._queues.remove(queue)

    async def _read(self, call: Any) -> None:
        while await call.read() is not grpc.aio.EOF:  # a stream's first request is no answer
            self._requests += 1


class Ours:
    """The whole stream: hub, machine, status, wire.

    Attributes:
        board: what every stream was sent and answered.
    """

    def __init__(self, *first: Resource) -> None:
        self._generation = 0
        self.board = StatusBoard()
        self._hub = Hub(self._snapshots_for)
        self.push(*first)
        self._listener: Listener
        self._running: asyncio.Task[None]
        self.port = 0

    @classmethod
    async def started(cls, *first: Resource) -> Self:
        """A server that sends `first` to whoever comes."""
        server = cls(*first)
        server._listener = await listen("127.0.0.1:0", server._hub, server.board)
        server._running = asyncio.create_task(server._hub.run())
        server.port = server._listener.port
        return server

    async def _snapshots_for(self, proxies: Sequence[Proxy]) -> Sequence[Snapshot]:
        return [self._snapshot] * len(proxies)

    def push(self, *resources: Resource) -> None:
        """See Server."""
        self._snapshot = Snapshot.of(resources)
        self._generation += 1
        self._hub.publish(self._generation)

    def answers(self) -> int:
        """See Server."""
        return self.board.acks.total()

    def streams(self) -> int:
        """See Server."""
        return self.board.totals().open

    async def stop(self) -> None:
        """See Server."""
        self._running.cancel()
        await self._listener.stop(0)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one round, in seconds."""

    wall: float
    processor: float


def cluster(number: int, size: int) -> Resource:
    """The cluster that changes, in its form of round `number`."""
    body = b"%08d" % number + b"x" * (size - 8)
    return Resource(type_url.CLUSTER, "outbound|80||reviews.default.svc.cluster.local", str(number), body)


@contextlib.asynccontextmanager
async def fleet(server: Server, *, streams: int, connections: int, namespaces: int = 0) -> AsyncIterator[None]:
    """A fleet of `bench.fleet` that has taken its first responses."""
    target = server.answers() + streams * (len(EVERYTHING) if namespaces else 1)
    command = (sys.executable, "-m", "bench.fleet", *map(str, (server.port, streams, connections, namespaces)))
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    try:
        await answered(server, target)
        yield
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def answered(server: Server, target: int) -> None:
    """Wait for the ACK that makes it `target`."""
    while server.answers() < target:  # noqa: ASYNC110  # the bare server is to have nothing but what it needs
        await asyncio.sleep(0.001)


async def round_of(server: Server, resource: Resource, streams: int) -> Cost:
    """Push once and wait for every stream's ACK."""
    target = server.answers() + streams
    wall, processor = time.perf_counter(), time.process_time()
    server.push(resource)
    await answered(server, target)
    return Cost(time.perf_counter() - wall, time.process_time() - processor)


async def measure(arguments: argparse.Namespace) -> dict[str, list[Cost]]:
    """The rounds of both servers, by their names."""
    first = cluster(0, arguments.bytes)
    servers: dict[str, Server] = {"bare": await Bare.started(first), "ours": await Ours.started(first)}
    costs: dict[str, list[Cost]] = {name: [] for name in servers}
    async with contextlib.AsyncExitStack() as fleets:
        for server in servers.values():
            await fleets.enter_async_context(
                fleet(server, streams=arguments.streams, connections=arguments.connections)
            )
        for number in range(1, arguments.rounds + 1):
            for name, server in servers.items():
                costs[name].append(await round_of(server, cluster(number, arguments.bytes), arguments.streams))
    for server in servers.values():
        await server.stop()
    return costs


def report(costs: dict[str, list[Cost]], streams: int) -> None:
    """Print the table."""
    print(f"{'':6}{'wall ms':>10}{'cpu ms':>10}{'cpu us/stream':>16}")
    wall = {name: statistics.median(cost.wall for cost in found) for name, found in costs.items()}
    processor = {name: statistics.median(cost.processor for cost in found) for name, found in costs.items()}
    for name in costs:
        print(f"{name:6}{wall[name] * 1e3:10.1f}{processor[name] * 1e3:10.1f}{processor[name] / streams * 1e6:16.1f}")
    print(f"{'ratio':6}{wall['ours'] / wall['bare']:10.2f}{processor['ours'] / processor['bare']:10.2f}  (aim: 1.5)")


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.fanout", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--bytes", type=int, default=1000)
    arguments = parser.parse_args()
    report(asyncio.run(measure(arguments)), arguments.streams)


if __name__ == "__main__":
    main()
