"""What a proxy that has stopped reading costs the others: time from a change to each one's ACK, with it and without.

    python -m bench.stalled [--proxies 200] [--rounds 40] [--bytes 100000]

One server in this process, a connection for each proxy in a process beside it, and here the one that stalls. It stalls
in every other round, so that what else the machine does falls on both kinds. A round is five changes, each of which
ends with the last ACK of the others; the table is of all these ACKs.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from typing import Any

import grpc

from bench.fanout import Ours, cluster, fleet
from bench.fleet import METHOD
from xds_server._proto import discovery_pb2
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

STALLS = "sidecar~10.9.9.9~stalls.default~local"
CHANGES = 5
"""In a round."""


class Staller:
    """The proxy that stalls: while `goes_on` is cleared it neither reads nor answers."""

    def __init__(self) -> None:
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def live(self, port: int) -> None:
        """Follow every cluster until cancelled."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            call: Any = channel.stream_stream(METHOD)()
            first = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url.CLUSTER)
            first.node.id = STALLS
            await call.write(first.SerializeToString())
            while True:
                await self.goes_on.wait()
                nonce = discovery_pb2.DeltaDiscoveryResponse.FromString(await call.read()).nonce
                answer = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url.CLUSTER, response_nonce=nonce)
                await self.goes_on.wait()
                await call.write(answer.SerializeToString())


async def change(server: Ours, resource: Resource) -> list[float]:
    """Push once; seconds until the ACK of each proxy but the one that stalls."""
    others = [record for record in server.board.streams() if record.proxy.node.id != STALLS]
    began = time.time()
    server.push(resource)
    while any(record.types[type_url.CLUSTER].acked_at < began for record in others):  # noqa: ASYNC110  # nothing tells of the last ACK
        await asyncio.sleep(0.001)
    return [record.types[type_url.CLUSTER].acked_at - began for record in others]


async def in_step(server: Ours) -> None:
    """Wait until nobody owes an answer."""
    while not server.board.is_settled:  # noqa: ASYNC110  # the same
        await asyncio.sleep(0.001)


async def measure(proxies: int, rounds: int, size: int) -> dict[bool, list[float]]:
    """Seconds until an ACK, by whether a proxy was stalled."""
    server, staller, numbers = await Ours.started(cluster(0, size)), Staller(), itertools.count(1)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    async with fleet(server, streams=proxies - 1, connections=proxies - 1):
        living = asyncio.create_task(staller.live(server.port))
        while server.streams() < proxies:  # noqa: ASYNC110  # the same
            await asyncio.sleep(0.001)
        for stalled in (False, True) * rounds:
            await in_step(server)
            if stalled:
                staller.goes_on.clear()
            for _ in range(CHANGES):
                seconds[stalled] += await change(server, cluster(next(numbers), size))
            staller.goes_on.set()
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
    await server.stop()
    return seconds


def report(seconds: dict[bool, list[float]]) -> None:
    """Print the table."""
    print(f"{'':14}{'ACKs':>8}{'p50 ms':>9}{'p99 ms':>9}{'most ms':>9}")
    p99 = {}
    for stalled, name in ((False, "none stalled"), (True, "one stalled")):
        cuts = statistics.quantiles(seconds[stalled], n=100)
        p99[stalled] = cuts[98]
        figures = f"{cuts[49] * 1e3:9.1f}{cuts[98] * 1e3:9.1f}{max(seconds[stalled]) * 1e3:9.1f}"
        print(f"{name:14}{len(seconds[stalled]):8}{figures}")
    print(f"{'ratio of p99':31}{p99[True] / p99[False]:9.2f}  (aim: 1.1)")


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.stalled", description=__doc__)
    parser.add_argument("--proxies", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--bytes", type=int, default=100_000)
    arguments = parser.parse_args()
    report(asyncio.run(measure(arguments.proxies, arguments.rounds, arguments.bytes)))


if __name__ == "__main__":
    main()
