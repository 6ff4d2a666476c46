"""What it costs to ask Envoy first: the whole mesh, one edit (the median of several), and one bad policy among all.

As in the server, what was loaded is out of the garbage collector's sight from then on.

python -m bench.validation
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from xds_server.admission import Admission
from xds_server.garbage import collection_paused, set_aside
from xds_server.pipeline import Pipeline
from xds_server.policy.document import Document, PolicySet, parse_document, precedence
from xds_server.store.yaml_reader import read_documents
from xds_server.validation.validator import Validator, find_validator

SIZES = (10, 100, 1000)
"""Services; each has a DestinationRule and a VirtualService."""
EDITS = 11


def documents(number: int, *, header: str = "one", connections: int = 100) -> list[Document]:
    """Those of one service."""
    text = f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: s{number}}}
spec:
  hosts: [s{number}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 10.0.0.1}}, {{address: 10.0.0.2}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: s{number}}}
spec: {{host: s{number}, trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {connections}}}}}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: s{number}}}
spec:
  hosts: [s{number}]
  http: [{{route: [{{destination: {{host: s{number}}}}}], headers: {{request: {{set: {{x-a: "{header}"}}}}}}}}]
"""
    raw, _ = read_documents(text, f"s{number}.yaml")
    return [document for document, _ in (parse_document(one, "default") for one in raw) if document is not None]


def policies(services: Sequence[list[Document]]) -> PolicySet:
    """As a store would give them."""
    return PolicySet(tuple(sorted((document for each in services for document in each), key=precedence)))


async def measure(size: int, validator: Validator | None) -> dict[str, tuple[float, int]]:
    """(seconds, runs of Envoy) to bring each state into force, compiling and encoding included."""
    services = [documents(number) for number in range(size)]
    with ThreadPoolExecutor(1) as worker:
        admission = Admission(Pipeline(), worker, validator)

        async def admit() -> tuple[float, int]:
            state, before, began = policies(services), _runs(validator), time.perf_counter()
            await admission.admit(state)
            return time.perf_counter() - began, _runs(validator) - before

        with collection_paused():
            found = {"all": await admit()}
        set_aside()
        edits = []
        for edit in range(EDITS):
            services[size // 2] = documents(size // 2, connections=edit)
            edits.append(await admit())
        found["edit"] = statistics.median_low(edits)
        services[size // 3] = documents(size // 3, header="%NO_SUCH_COMMAND%")
        found["bad edit"] = await admit()
    gc.unfreeze()
    return found


async def measure_one_bad(size: int, validator: Validator) -> tuple[float, int]:
    """(seconds, runs) when everything is new and one policy is bad."""
    bad = size * 2 // 3
    state = policies([documents(n, header="%NO_SUCH_COMMAND%" if n == bad else "one") for n in range(size)])
    with ThreadPoolExecutor(1) as worker:
        began = time.perf_counter()
        await Admission(Pipeline(), worker, validator).admit(state)
    return time.perf_counter() - began, _runs(validator)


async def main() -> int:
    """Print the table; gives the exit status."""
    print(f"{'services':>8}{'':>10}{'without Envoy':>16}{'with Envoy':>14}{'runs':>6}")
    for size in SIZES:
        validator, fresh = await find_validator(), await find_validator()
        if isinstance(validator, str) or isinstance(fresh, str):
            print(f"nothing to measure: {validator}")
            return 1
        without, asked = await measure(size, None), await measure(size, validator)
        for what, (seconds, runs) in asked.items():
            print(f"{size:>8}{what:>10}{without[what][0] * 1000:>13.1f} ms{seconds * 1000:>11.1f} ms{runs:>6}")
        seconds, runs = await measure_one_bad(size, fresh)
        print(f"{size:>8}{'one bad':>10}{'':>16}{seconds * 1000:>11.1f} ms{runs:>6}")
    return 0


def _runs(validator: Validator | None) -> int:
    return sum(validator.runs.values()) if validator else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
