"""What goes over the wire between two sidecars, as somebody sees it who listens there.

The owner's PeerAuthentication, alone, is STRICT for the whole mesh; one port of the serving sidecar is DISABLE, to show
that the listener would have seen plaintext. Only packets of the two ports of the test are captured.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.envoy.running import Backend, Control, Envoy, envoy, free_port, until
from tests.patience import PATIENCE

SERVER = "127.0.0.2"
"""Where the serving sidecar takes what comes in; the application listens on 127.0.0.1."""
ASKED, SAID, SENT, ANSWERED = b"/asked-5c1e", b"said-91b7", b"sent-d2f0", b"answered-a83c"
"""A path, a header, the body of a request and that of its answer, each of which is nowhere else."""

OWNERS = """\
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRICT}
"""
SERVICE = """\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host}, namespace: shop}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints: [{{address: {server}, ports: {{http: {port}}}, labels: {{app: server}}, serviceAccount: server}}]
"""
SERVING = """\
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: server, namespace: shop}}
spec:
  workloadSelector: {{labels: {{app: server}}}}
  ingress:
  - {{port: {{number: {secret}, name: a, protocol: HTTP}}, bind: {server}, defaultEndpoint: "127.0.0.1:{app}"}}
  - {{port: {{number: {plain}, name: b, protocol: HTTP}}, bind: {server}, defaultEndpoint: "127.0.0.1:{app}"}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: server, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  portLevelMtls: {{{plain}: {{mode: DISABLE}}}}
"""


@dataclass(frozen=True)
class Wire:
    """Packets to and from one port, as they are captured.

    Attributes:
        file: in pcapng, where what packets carry stands as it is.
    """

    port: int
    file: Path

    def mark(self, text: bytes) -> None:
        """Send `text` to the port in plaintext until it was captured, and with it all that came before it."""

        def seen() -> bool:
            with (
                contextlib.suppress(OSError),
                socket.create_connection((SERVER, self.port), timeout=PATIENCE) as connection,
            ):
                connection.sendall(text)
            return self.file.exists() and text in self.file.read_bytes()

        until(seen, what="packets are captured")

    def count(self, what: str) -> int:
        """How many packets the display filter `what` of tshark lets through."""
        read = ["tshark", "-r", str(self.file), "-d", f"tcp.port=={self.port},tls", "-Y", what]
        return len(subprocess.run(read, capture_output=True, check=True).stdout.splitlines())


@contextlib.contextmanager
def captured(port: int, directory: Path) -> Iterator[Wire]:
    """Capture the block."""
    wire = Wire(port, directory / f"{port}.pcapng")
    log = directory / f"{port}.tshark.log"
    command = ["tshark", "-i", "lo", "-f", f"tcp port {port}", "-w", str(wire.file)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wire.mark(b"first-marker")
            yield wire
            wire.mark(b"last-marker")
        finally:
            process.send_signal(signal.SIGINT)


@dataclass(frozen=True)
class Mesh:
    """Two sidecars and an application.

    Attributes:
        ports: of the serving sidecar, by service.
    """

    caller: Envoy
    ports: dict[str, int]

    def ask(self, host: str) -> bytes:
        """One request with everything in it that is looked for."""
        answer = self.caller.call(host, ASKED.decode(), method="POST", headers={"x-said": SAID.decode()}, body=SENT)
        return answer.body.encode()


@pytest.fixture(scope="module")
def mesh(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """With the policies in force."""
    if shutil.which("tshark") is None:
        pytest.skip("no tshark here; install it with: apt-get install tshark")
    if os.geteuid() != 0:
        pytest.skip("only root captures packets on loopback")
    directory = tmp_path_factory.mktemp("capture")
    ports = {"secret": free_port(), "plain": free_port()}
    with contextlib.ExitStack() as parts:
        app = Backend(ANSWERED.decode())
        parts.callback(app.close)
        control = Control(directory)
        parts.callback(control.close)
        services = (SERVICE.format(host=host, server=SERVER, port=port) for host, port in ports.items())
        control.write("mesh.yaml", "".join((OWNERS, *services, SERVING.format(server=SERVER, app=app.port, **ports))))
        labels = {"app": "server"}
        server = envoy(control, envoy_binary, directory, "server", namespace="shop", account="server", labels=labels)
        parts.callback(server.close)
        caller = envoy(control, envoy_binary, directory, "caller", namespace="shop", account="caller")
        parts.callback(caller.close)
        found = Mesh(caller.wait(), ports)
        server.wait()
        for host in ports:
            until(lambda host=host: found.ask(host) == ANSWERED, what=f"{host} answers")  # type: ignore[misc] # a default
        yield found


def test_strict_shows_nothing_of_a_request_on_the_wire(
    mesh: Mesh, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Neither path, header, body nor answer; the packets are there, and carry TLS."""
    with captured(mesh.ports["secret"], tmp_path) as wire:
        for _ in range(20):
            assert mesh.ask("secret") == ANSWERED

    seen = wire.file.read_bytes()
    assert wire.count("tls.app_data") >= 40
    assert not [text for text in (ASKED, SAID, SENT, ANSWERED) if text in seen]
    figure(f"on the wire: {wire.count('tcp')} packets, {wire.count('tls.app_data')} of them TLS, no plaintext")


def test_disable_shows_all_of_a_request_on_the_wire(mesh: Mesh, tmp_path: Path) -> None:
    """Whoever listens sees what there is to see."""
    with captured(mesh.ports["plain"], tmp_path) as wire:
        assert mesh.ask("plain") == ANSWERED

    seen = wire.file.read_bytes()
    assert [text for text in (ASKED, SAID, SENT, ANSWERED) if text not in seen] == []
    assert wire.count("tls") == 0
