"""A mesh that really runs: this server as a process, real Envoys, real backends, policy files that tests edit.

One server and one calling Envoy serve all tests of a session; each test brings hosts of its own, so none sees another.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

from tests.patience import PATIENCE
from xds_server.bootstrap import Api, NodeOptions, bootstrap
from xds_server.mesh.service import Locality
from xds_server.mesh.workload import Interception
from xds_server.settings import Address

T = TypeVar("T")


def _ports() -> Iterator[int]:
    """Ports below those that the kernel gives to clients, a range of its own for each process of a parallel run."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20000 + 2500 * (worker % 5)
    start = random.randrange(2500)
    return (first + (start + step) % 2500 for step in itertools.count())


_free = _ports()


def free_port() -> int:
    """A loopback port that nobody has now, and that nobody else in these tests is given."""
    for port in _free:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: ports never end")


def until(look: Callable[[], T], *, seconds: float = PATIENCE, what: str = "") -> T:
    """The first true value that `look` gives; fails the test when none came in time."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if found := look():
                return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what or look}")
        time.sleep(0.03)


def get(port: int, path: str, *, method: str = "GET") -> str:
    """The body at a loopback URL.

    Raises:
        OSError: no answer, or an answer that is no success (urllib's HTTPError).
    """
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE / 4) as answer:
        body: str = answer.read().decode()
        return body


@dataclass
class Behaviour:
    """How a backend answers, and what it was asked."""

    status: int = 200
    delay: float = 0.0
    hold: threading.Event | None = None
    """Requests that find it wait for it."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """(method, path, headers) of each request, in order."""
    running: int = 0


class HttpServer(ThreadingHTTPServer):
    """Connections wait for a thread in any number: each past the usual five would try again a second later."""

    daemon_threads = True
    request_queue_size = 1024


class Backend:
    """A real HTTP server on loopback that counts; HTTPS with `tls`."""

    def __init__(self, name: str, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self.behaviour = behaviour = Behaviour()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # headers and body in one segment

            def do_GET(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                self.rfile.read(length)
                hold = behaviour.hold
                behaviour.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
                if hold is not None:
                    hold.wait(PATIENCE)
                if behaviour.delay:
                    time.sleep(behaviour.delay)
                body = name.encode()
                self.send_response(behaviour.status)
                self.send_header("content-length", str(len(body)))
                self.send_header("x-backend", name)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - names that the base class calls

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = HttpServer((host, 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def count(self) -> int:
        """Requests so far."""
        return len(self.behaviour.requests)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came to. Status 0: the connection broke."""

    status: int
    body: str
    headers: dict[str, str]
    seconds: float


class Envoy:
    """One real Envoy in NONE mode: an HTTP proxy port for the caller, an admin port."""

    def __init__(
        self,
        binary: Path,
        directory: Path,
        options: NodeOptions,
        *,
        config: Path | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.admin_port = options.admin_port
        self.proxy_port = options.http_proxy_port
        if config is None:
            config = directory / f"{options.name}.json"
            config.write_text(json.dumps(bootstrap(options)))
        self._log = (directory / f"{options.name}.log").open("wb")
        self._command: list[str | Path] = [
            *(str(binary), "-c", str(config), "-l", "warn", "--concurrency", "1"),
            *("--use-dynamic-base-id", "--drain-time-s", "2", *arguments),
        ]  # fmt: skip
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=subprocess.STDOUT)

    def restart(self) -> None:
        """End it at once and start another in its place."""
        self._process.kill()
        self._process.wait()
        self._start()
        self.wait()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    @property
    def node_id(self) -> str:
        """As it tells the server."""
        node_id: str = json.loads(get(self.admin_port, "/server_info"))["node"]["id"]
        return node_id

    def wait(self) -> Envoy:
        """Until it is live, and each of its threads takes connections: that is a moment later."""
        until(lambda: get(self.admin_port, "/ready").startswith("LIVE"), what="Envoy is live")
        started = "listener_manager.workers_started"
        until(lambda: self.stats(f"^{started}$") == {started: 1}, what="Envoy takes connections")
        return self

    def call(
        self,
        host: str,
        path: str = "/",
        *,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """One request by the HTTP proxy port, as `http_proxy=` would send it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy_port, timeout=PATIENCE)
        began = time.monotonic()
        try:
            connection.request(method, f"http://{host}{path}", body=body or None, headers=headers or {})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
            found = {key.lower(): value for key, value in answer.getheaders()}
            return Answer(answer.status, text, found, time.monotonic() - began)
        finally:
            connection.close()

    def calls(self, count: int, host: str, path: str = "/", **options: dict[str, str]) -> Counter[str]:
        """`count` requests, by the body of their answers."""
        return Counter(self.call(host, path, **options).body for _ in range(count))  # type: ignore[arg-type] # headers only

    def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose name matches the regular expression `pattern`."""
        lines = get(self.admin_port, f"/stats?filter={urllib.parse.quote(pattern)}").splitlines()
        return {name: int(value) for name, _, value in (line.rpartition(": ") for line in lines) if value.isdecimal()}

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._log.close()


class Control:
    """This server, as the process that users start."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.policies = directory / "policies"
        self.policies.mkdir(parents=True, exist_ok=True)
        self.xds_port, self.debug_port = free_port(), free_port()
        self._options = options
        self.log_file = directory / "xds-server.log"
        self.start()

    def start(self) -> None:
        """Start it, again if it was killed, and wait until it is ready."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "xds_server", "serve", self.policies, "--listen", f"127.0.0.1:{self.xds_port}",
                 "--debug-listen", f"127.0.0.1:{self.debug_port}", *self._options],
                stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        try:
            until(lambda: get(self.debug_port, "/ready"), what=f"the server is ready, see {self.log_file}")
        except AssertionError:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: no farewell."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """SIGTERM, and the exit status that it gives."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)

    def write(self, name: str, text: str) -> Path:
        """Write one policy file as an editor that renames does."""
        path = self.policies / name
        draft = path.with_name(f".{name}.draft")
        draft.write_text(text)
        draft.replace(path)
        return path

    def debug(self, path: str) -> object:
        """The JSON at a debug endpoint."""
        return json.loads(get(self.debug_port, path))

    def problems(self) -> list[dict[str, str]]:
        """What it finds wrong now."""
        found = self.debug("/debug/problems")
        assert isinstance(found, list)
        return found


@dataclass(frozen=True)
class Running:
    """The session's mesh: one server, one calling Envoy."""

    directory: Path
    binary: Path
    control: Control
    caller: Envoy
    _backends: list[Backend] = field(default_factory=list)

    def backend(self, name: str, host: str = "127.0.0.1") -> Backend:
        """A new backend, closed with the session."""
        backend = Backend(name, host)
        self._backends.append(backend)
        return backend

    def apply(self, name: str, text: str, *, host: str = "", status: int = 200) -> None:
        """Write policies; with `host`, wait until a call to it answers `status`."""
        self.control.write(f"{name}.yaml", text)
        if host:
            until(lambda: self.caller.call(host).status == status, what=f"http://{host}/ answers {status}")

    def close_backends(self) -> None:
        """Close every backend."""
        for backend in self._backends:
            backend.close()


def envoy(
    control: Control,
    binary: Path,
    directory: Path,
    name: str,
    *,
    namespace: str = "default",
    account: str = "",
    labels: dict[str, str] | None = None,
    locality: str = "",
    api: Api = Api.DELTA,
    group: str = "",
    ports: dict[str, int] | None = None,
    dns_capture: bool = False,
    self_discovery: bool = False,
    metrics_interval: float = 0,
) -> Envoy:
    """Start a NONE mode Envoy under `control`; it has all its statistics, unless it is to report some of them."""
    options = NodeOptions(
        name=name,
        namespace=namespace,
        service_account=account,
        labels=labels or {},
        interception=Interception.NONE,
        http_proxy_port=free_port(),
        xds=(Address("127.0.0.1", control.xds_port),),
        admin_port=free_port(),
        api=api,
        locality=Locality.parse(locality),
        group=group,
        ports=ports or {},
        dns_capture=dns_capture,
        self_discovery=self_discovery,
        metrics_interval=metrics_interval,
    )
    return Envoy(binary, directory, options)


@contextlib.contextmanager
def running(binary: Path, directory: Path) -> Iterator[Running]:
    """A server and a calling Envoy in region/zone "west/a"."""
    control = Control(directory)
    try:
        caller = envoy(control, binary, directory, "caller", labels={"app": "caller"}, locality="west/a")
        try:
            mesh = Running(directory, binary, control, caller.wait())
            yield mesh
            mesh.close_backends()
        finally:
            caller.close()
    finally:
        control.close()
