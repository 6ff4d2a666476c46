"""An application whose traffic Envoy captures, in a network namespace, and in another all that it talks to.

A veth joins the two; the machine's own network is not touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.envoy.running import until
from tests.patience import PATIENCE
from xds_server.bootstrap import NodeOptions, bootstrap
from xds_server.settings import Address

APP, WORLD = "10.231.7.1", "10.231.7.2"
"""The application's address, and that of everything else."""
NOWHERE = "192.0.2.80"
"""What the name `worker-service` means to the application: an address that nobody has."""
PROXY_UID = 1337
REDIRECT = Path(__file__).parents[2] / "envoy" / "redirect.sh"

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
name, port, host = sys.argv[1], int(sys.argv[2]), (*sys.argv[3:], "0.0.0.0")[0]
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        through = "envoy" if "x-request-id" in self.headers else "nobody"
        body = f"{name} through {through}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
ThreadingHTTPServer((host, port), Handler).serve_forever()
"""
"""Run with a name, a port, and maybe an address: says its name, and whether the request came through an Envoy."""
_CALL = """
import sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=60) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    print("status", error.code)
except OSError as error:
    print("no answer")
"""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace by name."""

    name: str

    def run(self, *command: object, **environment: str) -> str:
        """Standard output of a command that runs in it and ends well."""
        arguments = ["ip", "netns", "exec", self.name, *map(str, command)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=os.environ | environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def get(self, url: str) -> str:
        """What an application in it gets: the body, or "status N", or "no answer"."""
        return self.run(sys.executable, "-c", _CALL, url)

    @contextlib.contextmanager
    def running(self, log: Path, *command: object) -> Iterator[None]:
        """A process in it for as long as the block lasts."""
        with log.open("wb") as output:
            arguments = ["ip", "netns", "exec", self.name, *map(str, command)]
            process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT)
            try:
                yield
            finally:
                process.terminate()
                process.wait(PATIENCE)


@dataclass(frozen=True, slots=True)
class Captured:
    """An application in `app` that knows nothing of the Envoy beside it, and the rest in `world`."""

    app: Namespace
    world: Namespace
    policies: Path

    def apply(self, name: str, text: str) -> None:
        """Write one policy file as an editor that renames does."""
        draft = self.policies / f".{name}.draft"
        draft.write_text(text)
        draft.replace(self.policies / f"{name}.yaml")

    def counter(self, name: str) -> int:
        """One of Envoy's counters."""
        wanted = urllib.parse.quote(f"^{re.escape(name)}$")
        line = self.app.get(f"http://127.0.0.1:15000/stats?filter={wanted}")
        return int(line.rpartition(": ")[2] or 0)


@contextlib.contextmanager
def captured(binary: Path, directory: Path) -> Iterator[Captured]:
    """Namespaces, servers, Envoy and rules; all of it is gone when the block ends. Skips where it cannot be had."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "iptables", "setpriv"))):
        pytest.skip("needs root, iproute2, iptables and setpriv: it makes network namespaces")
    with contextlib.ExitStack() as parts:
        app, world = (parts.enter_context(_namespace(f"xds-{os.getpid()}-{name}")) for name in ("app", "world"))
        _connect(app, world)
        parts.enter_context(_hosts(app, f"{NOWHERE} worker-service\n127.0.0.1 localhost\n"))
        for namespace, name, port in ((app, "app", 8000), (world, "worker", 8080), (world, "stranger", 8081)):
            log = directory / f"{name}.log"
            parts.enter_context(namespace.running(log, sys.executable, "-c", SERVER, name, port))
            _answers(namespace, f"http://127.0.0.1:{port}/", log)
        found = Captured(app, world, directory / "policies")
        found.policies.mkdir()
        parts.enter_context(_control(found, directory / "xds-server.log"))
        parts.enter_context(_envoy(app, binary, directory / "envoy.log"))
        app.run("sh", REDIRECT, PROXY_UID=str(PROXY_UID))
        yield found


@contextlib.contextmanager
def _namespace(name: str) -> Iterator[Namespace]:
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"this machine allows no network namespaces: {made.stderr.strip()}")
    try:
        yield Namespace(name)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def _connect(app: Namespace, world: Namespace) -> None:
    veth = ["ip", "link", "add", "out", "netns", app.name, "type", "veth", "peer", "name", "in", "netns", world.name]
    subprocess.run(veth, check=True)
    for namespace, device, address in ((app, "out", APP), (world, "in", WORLD)):
        namespace.run("ip", "address", "add", f"{address}/24", "dev", device)
        namespace.run("ip", "link", "set", device, "up")
        namespace.run("ip", "link", "set", "lo", "up")
    app.run("ip", "route", "add", "default", "via", WORLD)


@contextlib.contextmanager
def _hosts(namespace: Namespace, text: str) -> Iterator[None]:
    """Another /etc/hosts for its processes (ip-netns(8) mounts what stands in /etc/netns/NAME)."""
    directory = Path("/etc/netns") / namespace.name
    directory.mkdir(parents=True)
    try:
        (directory / "hosts").write_text(text)
        yield
    finally:
        shutil.rmtree(directory)
        with contextlib.suppress(OSError):  # somebody else has namespaces there too
            directory.parent.rmdir()


def _answers(namespace: Namespace, url: str, log: Path, *, accepts: Callable[[str], bool] = bool) -> None:
    until(lambda: (said := namespace.get(url)) != "no answer" and accepts(said), what=f"{url} answers, {log}")


@contextlib.contextmanager
def _control(found: Captured, log: Path) -> Iterator[None]:
    command = (sys.executable, "-m", "xds_server", "serve", found.policies, "--listen", f"{WORLD}:15010", "--insecure")
    with found.world.running(log, *command, "--no-validation"):
        _answers(found.world, "http://127.0.0.1:15014/healthz", log)
        yield


@contextlib.contextmanager
def _envoy(app: Namespace, binary: Path, log: Path) -> Iterator[None]:
    config = json.dumps(bootstrap(NodeOptions(name="app", ip=APP, xds=(Address(WORLD, 15010),), metrics_interval=0)))
    as_proxy = ("setpriv", f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups")
    command = (binary, "--config-yaml", config, "--concurrency", 1, "--disable-hot-restart", "-l", "warn")
    with app.running(log, *as_proxy, *command):
        _answers(app, "http://127.0.0.1:15000/ready", log, accepts=lambda said: said.startswith("LIVE"))
        yield
