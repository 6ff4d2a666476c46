"""Memory per connected stream beside bare grpc.aio's, and whether streams that come and go leave any of it behind.

    python -m bench.memory [--streams 1000] [--connections 100] [--cycles 6] [--bytes 1000]

Each server stands in a process of its own, and so does its fleet. In each cycle a whole fleet
connects, takes a snapshot and leaves. Resident memory (RSS) includes gRPC's own buffers, and the allocator seldom
gives back what it has: compare the servers' columns. Python objects are exact: what is left behind is a leak.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.fanout import Bare, Ours, Server, cluster, fleet

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of this process at one moment, rubbish collected.

    Attributes:
        resident: bytes in memory.
        objects: Python objects that the collector knows of.
    """

    resident: int
    objects: int

    @classmethod
    def now(cls) -> Usage:
        """Look."""
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(pages * _PAGE, len(gc.get_objects()))


async def cycle(server: Server, arguments: argparse.Namespace) -> tuple[Usage, Usage]:
    """With a fleet connected, and after it has left."""
    async with fleet(server, streams=arguments.streams, connections=arguments.connections):
        connected = Usage.now()
    while server.streams():  # noqa: ASYNC110  # the last streams end a moment after the fleet's process
        await asyncio.sleep(0.01)
    return connected, Usage.now()


async def measure(server: Server, arguments: argparse.Namespace) -> list[tuple[Usage, Usage]]:
    """Each cycle; the first pair is of the server alone."""
    alone = Usage.now()
    cycles = [(alone, alone), *[await cycle(server, arguments) for _ in range(arguments.cycles)]]
    await server.stop()
    return cycles


def report(name: str, cycles: Sequence[tuple[Usage, Usage]], streams: int) -> None:
    """Print one server's table."""
    print(f"{name:>6}{'connected MB':>14}{'left MB':>10}{'connected objects':>20}{'left objects':>14}")
    for number, (connected, left) in enumerate(cycles):
        memory = f"{connected.resident / 1e6:14.1f}{left.resident / 1e6:10.1f}"
        print(f"{number or '-':>6}{memory}{connected.objects:20}{left.objects:14}")
    (alone, _), (first, first_left), *_, (_, last_left) = cycles
    per_stream = first.resident - alone.resident, first.objects - alone.objects
    print(f"per connected stream: {per_stream[0] / streams / 1000:.1f} kB, {per_stream[1] / streams:.1f} objects")
    came_and_went = streams * (len(cycles) - 2)
    print(f"left behind per stream: {(last_left.objects - first_left.objects) / came_and_went:.4f} objects\n")


async def run(arguments: argparse.Namespace) -> None:
    """One server."""
    first = cluster(0, arguments.bytes)
    server = await (Bare if arguments.server == "bare" else Ours).started(first)
    report(arguments.server, await measure(server, arguments), arguments.streams)


def main() -> None:
    """Parse the arguments and measure, both servers unless one is named."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--cycles", type=int, default=6, help="2 or more")
    parser.add_argument("--bytes", type=int, default=1000)
    parser.add_argument("--server", choices=("bare", "ours"))
    arguments = parser.parse_args()
    if arguments.server:
        asyncio.run(run(arguments))
        return
    for name in ("bare", "ours"):
        subprocess.run([sys.executable, "-m", "bench.memory", *sys.argv[1:], "--server", name], check=True)


if __name__ == "__main__":
    main()
