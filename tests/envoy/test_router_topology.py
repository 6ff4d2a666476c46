"""Routers behind proxies, as MeshConfig's gatewayTopology says: whose word about the caller is believed."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.envoy.running import Backend, Control, Envoy, free_port, until
from tests.patience import PATIENCE
from xds_server.bootstrap import NodeOptions
from xds_server.mesh.workload import NodeType
from xds_server.settings import Address

POLICIES = """
kind: MeshConfig
defaultConfig:
  gatewayTopology: {numTrustedProxies: 1, proxyProtocol: {}}
  proxyHeaders: {server: {value: shop}, preserveHttp1HeaderCase: true, xForwardedPort: {enabled: true}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shop}
spec:
  hosts: [shop]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1, ports: {http: BACKEND}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec: {selector: {istio: ingress}, servers: [{port: {number: PORT, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec: {hosts: ["*"], gateways: [edge], http: [{route: [{destination: {host: shop}}]}]}
"""
PROXY = b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n"


@dataclass(frozen=True)
class Behind:
    """A router's port, and what is behind the router."""

    port: int
    backend: Backend

    def answer(self, *lines: bytes) -> bytes:
        """What comes back for a connection that sends these, until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(b"".join(lines))
            found = b""
            with contextlib.suppress(ConnectionResetError):
                while part := connection.recv(65536):
                    found += part
            return found


@pytest.fixture(scope="module")
def behind(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """One router for all."""
    directory, port = tmp_path_factory.mktemp("behind"), free_port()
    backend, control = Backend("shop"), Control(directory)
    control.write("mesh.yaml", POLICIES.replace("PORT", str(port)).replace("BACKEND", str(backend.port)))
    options = NodeOptions(
        name="ingress",
        labels={"istio": "ingress"},
        xds=(Address("127.0.0.1", control.xds_port),),
        admin_port=free_port(),
        node_type=NodeType.ROUTER,
    )
    envoy = Envoy(envoy_binary, directory, options)
    try:
        envoy.wait()
        yield Behind(port, backend)
    finally:
        envoy.close()
        control.close()
        backend.close()


def request(*headers: str) -> bytes:
    """A request that closes its connection."""
    return "\r\n".join(("GET / HTTP/1.1", "Host: shop", "Connection: close", *headers, "", "")).encode()


def test_trusted_proxy_says_who_calls_and_the_caller_does_not(behind: Behind) -> None:
    def reached() -> bool:
        sent = PROXY, request("X-Forwarded-For: 203.0.113.9, 203.0.113.5")
        return behind.answer(*sent).startswith(b"HTTP/1.1 200")

    until(reached)

    headers = behind.backend.behaviour.requests[-1][2]
    assert headers["x-envoy-external-address"] == "203.0.113.5"
    assert headers["x-forwarded-for"] == "203.0.113.9, 203.0.113.5,192.0.2.7"


def test_connection_without_a_proxy_header_is_closed(behind: Behind) -> None:
    until(lambda: behind.answer(PROXY, request()).startswith(b"HTTP/1.1 200"))
    before = behind.backend.count

    assert behind.answer(request()) == b""
    assert behind.backend.count == before


def test_headers_are_as_the_mesh_says(behind: Behind) -> None:
    until(lambda: behind.answer(PROXY, request()).startswith(b"HTTP/1.1 200"))

    answer = behind.answer(PROXY, request("X-CamelCase: 1"))

    assert b"\r\nserver: shop\r\n" in answer.lower()
    assert "x-forwarded-port" in behind.backend.behaviour.requests[-1][2]
