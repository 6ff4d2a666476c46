"""Services that are reached by a unix socket, and by nothing else."""

from __future__ import annotations

import http.client
import socket
import tempfile
from pathlib import Path

from tests.envoy.running import Backend, Control, envoy, free_port, until
from tests.envoy.test_traffic import service
from tests.patience import PATIENCE


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        """See http.client."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def ask(path: Path, host: str) -> tuple[int, str]:
    """Status and body of a GET for `host`."""
    connection = SocketConnection(path)
    try:
        connection.request("GET", "/", headers={"host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_socket_leads_to_its_own_hosts_and_no_port_does(envoy_binary: Path, tmp_path: Path) -> None:
    reviews, ratings, stored = Backend("reviews"), Backend("ratings"), Backend("stored")
    control = Control(tmp_path)
    tcp = service("db", [stored]).replace("protocol: HTTP}", "protocol: TCP}")
    tcp = tcp.replace("number: 80", f"number: {free_port()}")
    with tempfile.TemporaryDirectory(prefix="xds") as short:  # a socket's path may have a hundred characters
        http_path, tcp_path = Path(short) / "http", Path(short) / "tcp"
        control.write(
            "mesh.yaml",
            service("reviews", [reviews]) + service("ratings", [ratings]) + tcp + "apiVersion: networking.istio.io/v1\n"
            "kind: Sidecar\nmetadata: {name: web}\nspec:\n  egress:\n"
            f"  - {{port: {{number: 0, protocol: HTTP}}, bind: 'unix://{http_path}', hosts: [./reviews]}}\n"
            f"  - {{port: {{number: 0, protocol: TCP}}, bind: 'unix://{tcp_path}', hosts: [./db]}}\n"
            "  - {hosts: [./ratings]}\n  outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n",
        )
        caller = envoy(control, envoy_binary, tmp_path, "web").wait()
        try:
            until(lambda: ask(http_path, "reviews") == (200, "reviews"), what="the socket leads to its host")
            until(lambda: ask(tcp_path, "anything") == (200, "stored"), what="bytes are passed on")
            assert ask(http_path, "ratings")[0] == 502
            assert caller.call("ratings").body == "ratings"
            assert caller.call("reviews").status == 502
        finally:
            caller.close()
            control.close()
            for backend in (reviews, ratings, stored):
                backend.close()
