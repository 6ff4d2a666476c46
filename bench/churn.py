"""What ten thousand connections that came and went leave behind in the server: descriptors, threads, memory.

    python -m bench.churn [--connections 10000] [--at-once 50]

Each is a proxy that takes its whole configuration. The server is a process of its own. Its memory (RSS) settles: what
matters is whether the last thousands still add to it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
from pathlib import Path

from tests.envoy.running import Control
from tests.faults.fleet import fleet, in_step, node_id
from tests.faults.policies import save, service, snapshots
from tests.faults.site import Process

_ROWS = 10


async def come_and_go(control: Control, count: int) -> None:
    """`count` proxies at once, that leave when all are in step."""
    snapshot = snapshots(control.policies, [node_id(number) for number in range(count)])
    async with fleet(control.xds_port, count) as proxies:
        await in_step(proxies, snapshot)


async def measure(control: Control, arguments: argparse.Namespace) -> None:
    """Print a row for each tenth of the connections."""
    process = Process(control.pid)
    print(f"{'connections':>12}{'descriptors':>13}{'threads':>9}{'RSS MB':>9}")
    each = max(arguments.connections // arguments.at_once // _ROWS, 1)
    for row in range(_ROWS + 1):
        for _ in range(each if row else 0):
            await come_and_go(control, arguments.at_once)
        gc.collect()
        while row and control.debug("/debug/syncz"):  # noqa: ASYNC110  # the last streams end a moment later
            await asyncio.sleep(0.05)
        threads = process.threads
        done = row * each * arguments.at_once
        print(f"{done:12}{process.descriptors:13}{threads:9}{process.memory() / 1e6:9.1f}", flush=True)


async def run(arguments: argparse.Namespace, directory: Path) -> None:
    """A server of 30 services, and the measurement."""
    (directory / "policies").mkdir()
    for number in range(30):
        save(directory / "policies" / f"{number}.yaml", service(f"s{number}", [9]))
    control = await asyncio.to_thread(Control, directory, "--log-level", "warning")
    try:
        await measure(control, arguments)
    finally:
        await asyncio.to_thread(control.close)


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.churn", description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=50)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(parser.parse_args(), Path(directory)))


if __name__ == "__main__":
    main()
