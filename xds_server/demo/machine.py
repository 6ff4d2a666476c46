"""The processes of the demo: started, waited for, and ended by their ids."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM

from xds_server.demo.layout import Layout, Sidecar
from xds_server.demo.span_collector import Tally, collector_command, collector_environment
from xds_server.errors import ConfigurationError


class Machine:
    """Everything that runs. Use as a context manager: nothing outlives it.

    Args:
        directory: of policies, logs and state.
        demo: the ports.
        envoy: the program.
        collector: the program; None where there is none.

    Attributes:
        collected: counts what the collector took; None where it was not started.
    """

    def __init__(self, directory: Path, demo: Layout, envoy: Path, collector: Path | None = None) -> None:
        self.directory = directory
        self.demo = demo
        self.collected: Tally | None = None
        self._envoy = envoy
        self._collector = collector
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Machine:
        (self.directory / "logs").mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running.values()):
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start_server(self) -> None:
        """The control plane, as a user would start it."""
        spans_port = self.demo.spans_port(collector=self._collector is not None)
        self._start("xds-server", [sys.executable, "-m", "xds_server", "serve", str(self.directory / "policies"),
                                   "--listen", f"127.0.0.1:{self.demo.xds_port}",
                                   "--telemetry-listen", f"127.0.0.1:{self.demo.telemetry_port}",
                                   "--otlp-endpoint", f"http://127.0.0.1:{spans_port}",
                                   "--state-dir", str(self.directory / "state"),
                                   "--debug-listen", f"127.0.0.1:{self.demo.debug_port}"])  # fmt: skip
        self.wait("xds-server", lambda: fetch(self.demo.debug_port, "/ready") is not None)

    def start_collector(self) -> None:
        """What stands between the Envoys and the server where spans are concerned, if there is one."""
        if self._collector is None:
            return
        name, demo = "collector", self.demo
        command = collector_command(self._collector, port=demo.collector_port, onwards=demo.telemetry_port)
        process = self._start(name, command, collector_environment(), log=subprocess.PIPE)
        self.collected = Tally(process, self.directory / "logs" / f"{name}.log")
        self.wait(name, lambda: is_open(demo.collector_port))

    def start_sidecar(self, sidecar: Sidecar) -> None:
        """An application and its Envoy."""
        module = "worker" if sidecar.app == "worker" else "relay"
        environment = {
            "HOST": "127.0.0.1",
            "PORT": str(sidecar.app_port),
            "NAME": sidecar.name,
            "VERSION": sidecar.version,
            "http_proxy": f"http://127.0.0.1:{sidecar.proxy_port}",
        }
        self._start(sidecar.name, [sys.executable, "-m", f"xds_server.demo.apps.{module}"], environment)
        self._start(f"{sidecar.name}-envoy", [str(self._envoy), "-c", str(self._bootstrap(sidecar)), "-l", "warn",
                                              "--concurrency", "1", "--use-dynamic-base-id"])  # fmt: skip

    def wait_for_sidecar(self, sidecar: Sidecar) -> None:
        """Until its Envoy is live: every cluster and listener it was sent is in place."""
        self.wait(f"{sidecar.name}-envoy", lambda: (fetch(sidecar.admin_port, "/ready") or "").startswith("LIVE"))

    def wait(self, name: str, ready: Callable[[], bool], seconds: float = 60) -> None:
        """Until `ready()`.

        Raises:
            ConfigurationError: the process ended, or was not ready in time; says where its log is.
        """
        log = self.directory / "logs" / f"{name}.log"
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._running[name].poll() is not None:
                raise ConfigurationError(f"{name} ended; its log is {log}")
            if ready():
                return
            time.sleep(0.05)
        raise ConfigurationError(f"{name} was not ready in {seconds:.0f} s; its log is {log}")

    def _start(
        self, name: str, command: list[str], environment: dict[str, str] | None = None, *, log: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process; what it says goes to its file in logs/ unless `log` says otherwise."""
        with (self.directory / "logs" / f"{name}.log").open("wb") as file, _undisturbed():
            self._running[name] = process = subprocess.Popen(  # noqa: S603 - our own commands
                command, stdout=log or file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=os.environ | (environment or {}), start_new_session=True,
            )  # fmt: skip
        return process

    def _bootstrap(self, sidecar: Sidecar) -> Path:
        path = self.directory / f"{sidecar.name}.json"
        made = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "xds_server", "bootstrap", "--name", sidecar.name, "--namespace", "default",
             "--label", f"app={sidecar.app}", "--label", f"version={sidecar.version}",
             "--label", f"instance={sidecar.name}", "--mode", "none", "--http-proxy-port", str(sidecar.proxy_port),
             "--xds-address", f"127.0.0.1:{self.demo.xds_port}", "--admin-port", str(sidecar.admin_port),
             "-o", "json"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        path.write_text(made.stdout)
        return path


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C and SIGTERM are heard afterwards: a process that has started must be known before anything ends."""
    arrived: list[int] = []
    before = {each: signal.signal(each, lambda number, _: arrived.append(number)) for each in (SIGINT, SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in arrived:
            signal.raise_signal(number)


def is_open(port: int) -> bool:
    """Whether somebody listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def fetch(port: int, path: str, *, body: dict[str, object] | None = None) -> str | None:
    """The text at a loopback URL; None when it cannot be had or is no 200."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data=data, timeout=10) as answer:
            text: str = answer.read().decode()
            return text
    except (OSError, urllib.error.HTTPError):
        return None
