"""A fleet that comes back at once after its server was killed: time until all are in step, and the server's memory.

    python -m bench.herd [--proxies 1000] [--services 100] [--rounds 3]

Each proxy has a connection of its own and holds exactly its snapshot in the end. The fleet runs in this process, and
its cost is part of the times: a machine with more than two cores shows the server's better.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.faults.herd import herd


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.herd", description=__doc__)
    parser.add_argument("--proxies", type=int, default=1000)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{'ready s':>8}{'in step s':>11}{'steady MB':>11}{'peak MB':>9}{'ratio':>7}")
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as directory:
            found = asyncio.run(herd(Path(directory), proxies=arguments.proxies, services=arguments.services))
        memory = f"{found.steady / 1e6:11.0f}{found.peak / 1e6:9.0f}{found.peak / found.steady:7.2f}"
        print(f"{found.ready:8.1f}{found.in_step:11.1f}{memory}", flush=True)


if __name__ == "__main__":
    main()
