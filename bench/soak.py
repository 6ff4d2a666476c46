"""Random faults against 200 simulated proxies and five real Envoys, with a look at everything after each quiet spell.

    python -m bench.soak [--minutes 30] [--seed N] [--proxies 200] [--faults 30]

It ends with an error as soon as one thing is not as it should be; `tests/faults/soak.py` says what that means. The
seed that it prints does the same faults again, though not at the same moments.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from bench.make_before_break import envoy_binary
from tests.faults.soak import soak


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--proxies", type=int, default=200)
    parser.add_argument("--faults", type=int, default=30, help="in one spell")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        outcome = soak(
            envoy_binary(),
            Path(directory),
            seconds=arguments.minutes * 60,
            seed=arguments.seed,
            proxies=arguments.proxies,
            faults=arguments.faults,
        )
    print(outcome.summary)
    for fault, count in outcome.done.most_common():
        print(f"{count:8} {fault}")


if __name__ == "__main__":
    main()
