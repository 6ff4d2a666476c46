"""A call through three services behind real Envoys, each of which tells a server of it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.envoy.running import Control, Envoy, envoy, free_port, get, until

NAMES = ("webhook-handler", "worker", "second")
FORWARDED = ("traceparent", "tracestate", "x-request-id")


class Application:
    """One that calls the next by its own Envoy, or answers itself: 500 where the path says so.

    Attributes:
        forwards: it hands on the trace headers of the request that it serves.
    """

    def __init__(self, proxy_port: int, following: str) -> None:
        self.forwards = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536

            def do_GET(self) -> None:
                status = outer.call(self.path, dict(self.headers)) if following else 500 if "fail" in self.path else 200
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._following = following
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{proxy_port}"})
        )
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def call(self, path: str, headers: dict[str, str]) -> int:
        """Call the next service; its status."""
        sent = {name: value for name, value in headers.items() if name.lower() in FORWARDED and self.forwards}
        request = urllib.request.Request(f"http://{self._following}{path}", headers=sent)
        try:
            with self._opener.open(request, timeout=20) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Site:
    """Three services behind real Envoys, and the server that they tell of their requests."""

    control: Control
    inbound: dict[str, int]
    envoys: dict[str, Envoy] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)

    def call(self, path: str) -> int:
        """A call of somebody without a proxy to the first service."""
        connection = http.client.HTTPConnection("127.0.0.1", self.inbound[NAMES[0]], timeout=20)
        connection.request("GET", path, headers={"host": NAMES[0]})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def traces(self, *services: str) -> list[dict[str, Any]]:
        """Those in which exactly these services take part."""
        found = self.control.debug("/debug/traces?limit=5000")
        assert isinstance(found, list)
        return [trace for trace in found if trace["services"] == [f"{name}.default" for name in services]]

    def logged(self, path: str) -> list[dict[str, Any]]:
        """The entries of requests whose path begins so."""
        lines = get(self.control.debug_port, "/debug/logs").splitlines()
        return [entry for entry in map(json.loads, lines) if str(entry["path"]).startswith(path)]


def two_ports() -> int:
    """A free port with one after it that is free too; neither is given to anybody else."""
    port = free_port()
    while (following := free_port()) != port + 1:
        port = following
    return port


def policies(inbound: dict[str, int], applications: dict[str, Application], receiver: int, collector: int) -> str:
    """Services, sidecars, and who is told of requests: the port `collector` of spans, `receiver` of entries."""
    text = f"""\
kind: MeshConfig
extensionProviders:
- {{name: otel, opentelemetry: {{service: collector, port: 4317}}}}
- {{name: otel-http, opentelemetry: {{service: telemetry, port: 4318, http: {{path: /v1/traces}}}}}}
- {{name: als, envoyHttpAls: {{service: telemetry, port: 4317}}}}
defaultProviders: {{accessLogging: [als]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: collector}}
spec:
  hosts: [collector]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 4317, name: grpc, protocol: GRPC}}]
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {collector}}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: telemetry}}
spec:
  hosts: [telemetry]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 4317, name: grpc, protocol: GRPC}}, {{number: 4318, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {receiver}, http: {receiver + 1}}}}}]
"""
    for name, port in inbound.items():
        text += f"""\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}}}
spec:
  workloadSelector: {{labels: {{app: {name}}}}}
  ingress:
  - port: {{number: {port}, name: http, protocol: HTTP}}
    bind: 127.0.0.1
    defaultEndpoint: 127.0.0.1:{applications[name].port}
  egress: [{{hosts: ["./worker", "./second", "./nowhere"]}}]
"""
    return text


def telemetry(spec: str, name: str = "all") -> str:
    return f"apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"


EVERYTHING = telemetry("tracing: [{providers: [{name: otel}], randomSamplingPercentage: 100}]")


@contextlib.contextmanager
def traced(binary: Path, directory: Path, *, receiver: int, collector: int) -> Iterator[Site]:
    """All of it, every request traced and logged; see `policies`."""
    control = Control(directory, "--telemetry-listen", f"127.0.0.1:{receiver}")
    found = Site(control, {name: free_port() for name in NAMES})
    try:
        for name in NAMES:
            found.envoys[name] = envoy(control, binary, directory, name, labels={"app": name})
        for name, following in zip(NAMES, (*NAMES[1:], ""), strict=True):
            found.applications[name] = Application(found.envoys[name].proxy_port, following)
        control.write("mesh.yaml", policies(found.inbound, found.applications, receiver, collector))
        control.write("telemetry.yaml", EVERYTHING)
        until(lambda: found.call("/warm") == 200, seconds=120, what="a request goes through all three")
        yield found
    finally:
        for sidecar in found.envoys.values():
            sidecar.close()
        for application in found.applications.values():
            application.close()
        control.close()
