"""What an edit costs at 10, 100 and 1,000 services, and what loading them from nothing costs.

    python -m bench.edit [--services 10 100 1000] [--edits 40]

Each service is a ServiceEntry with two endpoints, a DestinationRule and a VirtualService, in a file of its own. The
server is the process that users start, with one delta stream connected. An edit saves one file (its endpoint, limit
and timeout all change, so CDS, EDS and RDS all move); its latency is from the save until the route is on the wire, the
100 ms of debounce included; its cost is the processor time of the server's process. Loading is compared with a bare
yaml.CSafeLoader over the same files, both in this process, alternating, both without collections.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import yaml

from xds_server._proto import discovery_pb2
from xds_server.garbage import collection_paused
from xds_server.mesh.workload import Workload
from xds_server.pipeline import Pipeline
from xds_server.store.directory import read_policies
from xds_server.xds import type_url

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
ROUNDS = 8
"""How often loading and parsing alternate: whatever else runs on the machine disturbs some; the best of each counts."""


@dataclass(frozen=True, slots=True)
class Row:
    """One size. Times in milliseconds."""

    services: int
    latency: float
    cost: float
    load: float
    parse: float


def document(number: int, edit: int) -> str:
    """One service's file; `edit` changes all three of its documents."""
    host = f"service-{number}"
    return f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  ports:
  - {{number: 80, name: http, protocol: HTTP}}
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints:
  - {{address: 10.{number // 250}.{number % 250}.{edit % 250 + 1}, ports: {{http: 8080}}, labels: {{version: v1}}}}
  - {{address: 10.{number // 250}.{number % 250}.252, ports: {{http: 8080}}, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host}}}
spec:
  host: {host}
  trafficPolicy:
    connectionPool:
      tcp: {{maxConnections: {100 + edit}}}
    outlierDetection: {{consecutive5xxErrors: 5, interval: 30s, baseEjectionTime: 30s}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  http:
  - route:
    - destination: {{host: {host}}}
    timeout: {edit + 1}s
    retries: {{attempts: 3, perTryTimeout: 5s}}
"""


def write(policies: Path, services: int) -> None:
    """A file for each service."""
    policies.mkdir(parents=True)
    for number in range(services):
        (policies / f"service-{number}.yaml").write_text(document(number, 0))


class Proxy:
    """A delta stream that takes everything: clusters, their endpoints, listeners, and the routes of port 80."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Subscribe and acknowledge until the call ends."""
        await self._ask(type_url.CLUSTER, node=True)
        await self._ask(type_url.LISTENER)
        await self._ask(type_url.ROUTE, names=["80"])
        while (data := await self._call.read()) is not grpc.aio.EOF:
            response = discovery_pb2.DeltaDiscoveryResponse.FromString(data)
            await self._ask(response.type_url, nonce=response.nonce)
            if response.type_url == type_url.CLUSTER:
                names = [resource.name for resource in response.resources if "|service-" in resource.name]
                await self._ask(type_url.ENDPOINT, names=names)
            if response.type_url == type_url.ROUTE:
                self._moved.set()

    async def next_route(self) -> None:
        """Until the route configuration has come (again)."""
        await asyncio.wait_for(self._moved.wait(), 60)
        self._moved.clear()

    async def _ask(self, url: str, *, names: list[str] | None = None, nonce: str = "", node: bool = False) -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=url, resource_names_subscribe=names or [], response_nonce=nonce
        )
        if node:
            request.node.id = "sidecar~10.9.9.9~bench.default~default.svc.cluster.local"
        await self._call.write(request.SerializeToString())


@contextlib.asynccontextmanager
async def served(policies: Path) -> AsyncIterator[tuple[int, Proxy]]:
    """The server over `policies` and a stream that has all of it: (process id, stream)."""
    xds, debug = _free_port(), _free_port()
    command = [sys.executable, "-m", "xds_server", "serve", str(policies), "--listen", f"127.0.0.1:{xds}",
               "--debug-listen", f"127.0.0.1:{debug}", "--log-level", "error", "--no-validation"]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{xds}", options=[("grpc.max_receive_message_length", -1)]
        ) as channel:
            proxy, task = await _connected(channel)
            yield process.pid, proxy
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    finally:
        process.terminate()
        await process.wait()


async def edits(directory: Path, services: int, count: int) -> tuple[float, float]:
    """(median latency, mean processor time) of an edit, in milliseconds."""
    policies = directory / "policies"
    write(policies, services)
    async with served(policies) as (process, proxy):
        for number in range(1, 4):
            await _edit(policies, proxy, number)
        before = processor_time(process)
        latencies = [await _edit(policies, proxy, number) for number in range(4, 4 + count)]
        cost = (processor_time(process) - before) / count
    return statistics.median(latencies) * 1000, cost * 1000


def processor_time(process: int) -> float:
    """Seconds that all threads of a process have run, to the nanosecond."""
    tasks = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def loading(policies: Path) -> tuple[float, float]:
    """(from files to a snapshot, bare parse of the same files), processor time in milliseconds, best of `ROUNDS`."""
    texts = [path.read_text() for path in sorted(policies.iterdir())]
    rounds = [(_loaded(policies), _parsed(texts)) for _ in range(ROUNDS)]
    loads, parses = zip(*rounds, strict=True)
    return min(loads) * 1000, min(parses) * 1000


def _loaded(policies: Path) -> float:
    """Seconds from files to a snapshot, with nothing left of an earlier load to be tidied away meanwhile."""
    gc.collect()
    with collection_paused():
        began = time.process_time()
        pipeline = Pipeline()
        generation = pipeline.compile(read_policies(policies).policies)
        pipeline.snapshot_for(generation, Workload("bench", "default"))
        return time.process_time() - began


def _parsed(texts: list[str]) -> float:
    """Seconds of the bare parse, under the same conditions."""
    gc.collect()
    with collection_paused():
        began = time.process_time()
        for text in texts:
            list(yaml.load_all(text, yaml.CSafeLoader))
        return time.process_time() - began


def measured(services: int, count: int) -> Row:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as directory:
        latency, cost = asyncio.run(edits(Path(directory), services, count))
        return Row(services, latency, cost, *loading(Path(directory) / "policies"))


def main() -> None:
    """Print the table and its two ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--edits", type=int, default=40)
    arguments = parser.parse_args()
    print("services   edit to wire   cost of an edit   load        bare parse   load / parse")
    rows = [measured(services, arguments.edits) for services in arguments.services]
    for row in rows:
        print(
            f"{row.services:8}   {row.latency:9.0f} ms   {row.cost:12.2f} ms   {row.load:7.0f} ms"
            f"   {row.parse:7.0f} ms   {row.load / row.parse:12.2f}"
        )
    if len(rows) > 1:
        last, former = rows[-1], rows[-2]
        print(
            f"an edit at {last.services} costs {last.cost / former.cost:.2f} times what it costs at {former.services}"
        )


async def _connected(channel: Any) -> tuple[Proxy, asyncio.Task[None]]:
    """A stream that has been sent everything; the server may still be loading."""
    while True:
        proxy = Proxy(channel.stream_stream(METHOD)(wait_for_ready=True))
        task = asyncio.create_task(proxy.run())
        first = asyncio.create_task(proxy.next_route())
        await asyncio.wait({task, first}, return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            return proxy, task
        first.cancel()
        await asyncio.gather(task, first, return_exceptions=True)
        await asyncio.sleep(0.1)


async def _edit(policies: Path, proxy: Proxy, number: int) -> float:
    """Seconds from the save until the route is on the wire."""
    path = policies / "service-7.yaml"
    draft = path.with_name(".draft")
    draft.write_text(document(7, number))
    began = time.monotonic()
    draft.replace(path)
    await proxy.next_route()
    return time.monotonic() - began


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
