"""A collector of spans from PyPI (rotel) between the demo's Envoys and xds-server: found, started, counted.

Where there is none for this system, Envoys send their spans to xds-server itself.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sysconfig
import threading
from pathlib import Path
from typing import IO


def find_collector() -> Path | str:
    """Its program, tried; or in words why there is none."""
    package = importlib.util.find_spec("rotel")
    if package is None or package.origin is None:
        return "rotel is not installed: pip install 'xds-server[demo]'"
    program = Path(package.origin).with_name("rotel-agent")
    try:
        done = subprocess.run(  # noqa: S603 - the package's own
            [program, "version"], env=os.environ | collector_environment(), capture_output=True, check=False
        )
    except OSError as error:
        return f"{program} does not run: {error.strerror}"
    return program if done.returncode == 0 else f"{program} does not run: {done.stderr.decode().strip()}"


def collector_command(program: Path, *, port: int, onwards: int) -> list[str]:
    """How it is started: it takes OTLP on loopback, gRPC on `port` and HTTP on the next, and passes on to `onwards`.

    A line of its output tells of each request that it takes, see `spans_in`. What is not taken `onwards` is sent again
    for five minutes.
    """
    return [
        str(program), "start", "--log-format", "json", "--debug-log", "traces", "--pid-file", os.devnull,
        "--otlp-grpc-endpoint", f"127.0.0.1:{port}", "--otlp-http-endpoint", f"127.0.0.1:{port + 1}",
        "--exporter", "otlp", "--otlp-exporter-endpoint", f"http://127.0.0.1:{onwards}",
        "--otlp-exporter-retry-initial-backoff", "200ms", "--otlp-exporter-retry-max-backoff", "1s",
        "--otlp-exporter-request-timeout", "30s",
    ]  # fmt: skip


def collector_environment() -> dict[str, str]:
    """What it needs besides ours: where the Python library is that it was linked with, which is this interpreter's."""
    libraries = sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}


class Tally:
    """Counts the spans of which a collector tells on its output, a pipe; what else it says is written to `log`.

    Its lines about spans are not kept: the demo's would be 100 MB in an hour.
    """

    def __init__(self, collector: subprocess.Popen[bytes], log: Path) -> None:
        self.spans = 0
        threading.Thread(target=self._read, args=(collector.stdout, log), daemon=True).start()

    def _read(self, output: IO[bytes], log: Path) -> None:
        with output, log.open("wb") as kept:
            for line in output:
                if taken := spans_in(line):
                    self.spans += taken
                else:
                    kept.write(line)
                    kept.flush()


def spans_in(line: bytes) -> int:
    """Of how many spans a line of its log says that they were taken; 0 for any other line."""
    try:
        said = json.loads(line)
    except ValueError:
        return 0
    return int(said.get("spans", 0)) if isinstance(said, dict) and said.get("msg") == "Received traces." else 0
