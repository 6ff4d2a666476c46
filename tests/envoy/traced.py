"""Three services behind real Envoys that tell this server of their requests: what tests of telemetry run in.

A module of tests has one of its own: a fixture that yields what `started` does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.envoy.running import Control, Envoy, HttpServer, envoy, free_port, get, until
from tests.patience import PATIENCE

NAMES = ("webhook-handler", "worker", "second")
W3C = ("traceparent", "tracestate", "x-request-id")
"""The headers that an application has to send on for OpenTelemetry's tracer (README.md, "Traces and access logs")."""
_AHEAD = 5
"""Spans that Envoy gathers before it sends any (tracing.opentelemetry.min_flush_spans); else it waits for 5 s."""


@dataclass(frozen=True)
class Providers:
    """Who is told: entries of MeshConfig's extensionProviders, those that take logs by default, and their services."""

    entries: tuple[str, ...]
    logs: tuple[str, ...] = ()
    services: str = ""


class Application:
    """One that calls the next by its own Envoy, or answers itself: 500 where the path says so.

    Attributes:
        forwards: headers that it hands on of the request that it serves, in lower case.
        served: (path, headers) of each request, in order.
    """

    def __init__(self, proxy_port: int, following: str) -> None:
        self.forwards: tuple[str, ...] = W3C
        self.served: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.served.append((self.path, headers))
                status = outer.call(self.path, headers) if following else 500 if "fail" in self.path else 200
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._following = following
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{proxy_port}"})
        )
        self._server = HttpServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def call(self, path: str, headers: Mapping[str, str]) -> int:
        """Call the next service for a request with these headers; its status."""
        sent = {name: headers[name] for name in self.forwards if name in headers}
        request = urllib.request.Request(f"http://{self._following}{path}", headers=sent)
        try:
            with self._opener.open(request, timeout=PATIENCE) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            return error.code

    def headers(self, path: str) -> dict[str, str]:
        """Those of the one request for this path."""
        (found,) = self.requests(path)
        return found

    def requests(self, path: str) -> list[dict[str, str]]:
        """The headers of all requests for it, in order."""
        return [headers for served, headers in self.served if served == path]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Site:
    """Services in a row behind real Envoys, and the server that configures these.

    Attributes:
        told: who is told of requests.
        pushed: traces that `told_of_all` began.
    """

    control: Control
    told: Providers
    inbound: dict[str, int]
    envoys: dict[str, Envoy] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)
    pushed: set[str] = field(default_factory=set)
    _marks: int = 0

    def call(self, path: str, headers: Mapping[str, str] | None = None, *, service: str = NAMES[0]) -> int:
        """A call of somebody without a proxy to a service; its status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.inbound[service], timeout=PATIENCE)
        connection.request("GET", path, headers={"host": service, **(headers or {})})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def send(self, service: str, paths: Iterable[str], headers: Mapping[str, str] | None = None) -> Counter[int]:
        """Requests to a service that the first one's own Envoy takes, on one connection; how many had which status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.envoys[NAMES[0]].proxy_port, timeout=PATIENCE)
        seen: Counter[int] = Counter()
        for path in paths:
            connection.request("GET", f"http://{service}{path}", headers=dict(headers or {}))
            answer = connection.getresponse()
            answer.read()
            seen[answer.status] += 1
        connection.close()
        return seen

    def observe(self, *rules: str) -> None:
        """Have these Telemetries in place of those there are; returns when every Envoy obeys.

        How Envoys obey is seen by a log whose lines say how often this was done.
        """
        self._marks += 1
        mark = f"mark-{self._marks} "
        self.control.write("telemetry.yaml", "---\n".join([mesh_config(self.told, mark), *rules]))
        for name, sidecar in self.envoys.items():
            until(partial(_logs_by, sidecar, mark), what=f"{name} obeys {rules}")
        time.sleep(0.05)  # Envoy's main thread tells of it, which has told its worker without waiting for it

    def told_of_all(self, spans: int = 5) -> None:
        """Return when the server has been told of every request so far.

        It makes as many calls through all services as spans are held back, by a header that has Envoy trace them
        whatever share is sampled; each of them is told of by so many spans.
        """
        ids = [secrets.token_hex(16) for _ in range(_AHEAD * 2)]
        for trace_id in ids:
            assert self.call("/push", {"x-client-trace-id": "any", **sampled(trace_id)}) == 200
        until(
            lambda: sum(trace["spans"] for trace in self.known() if trace["id"] in ids[:_AHEAD]) == spans * _AHEAD,
            what=f"{spans} spans of each call",
        )
        self.pushed.update(ids)

    def known(self) -> list[dict[str, Any]]:
        """All traces that the server was told of, but those that `told_of_all` began."""
        found = self.control.debug("/debug/traces?limit=20000")
        assert isinstance(found, list)
        return [trace for trace in found if trace["id"] not in self.pushed]

    def traces(self, *services: str) -> list[dict[str, Any]]:
        """Those that the server was told of in which exactly these services take part."""
        return [trace for trace in self.known() if trace["services"] == [f"{name}.default" for name in services]]

    def tree(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace that have no known parent, with those below them."""
        found = self.control.debug(f"/debug/traces?id={trace_id}")
        assert isinstance(found, dict)
        trees: list[dict[str, Any]] = found["trees"]
        return trees

    def logged(self, path: str) -> list[dict[str, Any]]:
        """The entries of requests whose path begins so."""
        lines = get(self.control.debug_port, "/debug/logs").splitlines()
        return [entry for entry in map(json.loads, lines) if str(entry["path"]).startswith(path)]


@contextlib.contextmanager
def started(binary: Path, directory: Path, told: Providers, *options: str) -> Iterator[Site]:
    """Services called NAMES, each of which calls the next; `options` are of the server."""
    with contextlib.ExitStack() as parts:
        control = Control(directory, *options)
        parts.callback(control.close)
        found = Site(control, told, {name: free_port() for name in NAMES})
        for name, following in zip(NAMES, (*NAMES[1:], ""), strict=True):
            sidecar = envoy(control, binary, directory, name, labels={"app": name})
            parts.callback(sidecar.close)
            application = Application(sidecar.proxy_port, following)
            parts.callback(application.close)
            found.envoys[name], found.applications[name] = sidecar, application
        control.write("mesh.yaml", policies(found.inbound, found.applications) + told.services)
        found.observe()
        until(lambda: found.call("/warm") == 200, what="a request goes through all of them")
        yield found


def policies(inbound: Mapping[str, int], applications: Mapping[str, Application]) -> str:
    """Services and their sidecars. A connection takes one request: those that are open obey what was said before."""
    text = ""
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
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec: {{host: {name}, trafficPolicy: {{connectionPool: {{http: {{maxRequestsPerConnection: 1}}}}}}}}
"""
    return text


def receiver(port: int, spans: int | None = None) -> Providers:
    """The server itself as it takes telemetry at `port`: `otel`, `otel-http` at the port after it, and `als`.

    With `spans`, `otel` is whoever takes spans there.
    """
    service = f"""\
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: collector}}
spec:
  hosts: [collector]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 4317, name: grpc, protocol: GRPC}}]
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {spans or port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: telemetry}}
spec:
  hosts: [telemetry]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 4317, name: grpc, protocol: GRPC}}, {{number: 4318, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {port}, http: {port + 1}}}}}]
"""
    return Providers(
        (
            "{name: otel, opentelemetry: {service: collector, port: 4317}}",
            "{name: otel-http, opentelemetry: {service: telemetry, port: 4318, http: {path: /v1/traces}}}",
            "{name: als, envoyHttpAls: {service: telemetry, port: 4317}}",
        ),
        ("als",),
        service,
    )


def mesh_config(told: Providers, mark: str) -> str:
    """A MeshConfig with these providers, and lines of a log in each Envoy's own output that are this mark."""
    entries = "".join(f"- {entry}\n" for entry in told.entries)
    log = f'- {{name: mark, envoyFileAccessLog: {{logFormat: {{text: "{mark}"}}}}}}\n'
    logs = ", ".join([*told.logs, "mark"])
    return f"kind: MeshConfig\nextensionProviders:\n{entries}{log}defaultProviders: {{accessLogging: [{logs}]}}\n"


def telemetry(spec: str, name: str = "all", app: str = "") -> str:
    """A Telemetry for the whole mesh, or for the workloads of one service."""
    selector = f"selector: {{matchLabels: {{app: {app}}}}}, " if app else ""
    return (
        f"apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {name}}}\nspec: {{{selector}{spec}}}\n"
    )


def tracing(provider: str, more: str = "randomSamplingPercentage: 100") -> str:
    """A Telemetry by which everything is traced, or what `more` says."""
    return telemetry(f"tracing: [{{providers: [{{name: {provider}}}], {more}}}]")


def sampled(trace_id: str, flag: str = "01") -> dict[str, str]:
    """A traceparent of somebody who has decided: flag "00" is not to be traced."""
    return {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-{flag}"}


def two_ports() -> int:
    """A free port with one after it that is free too; neither is given to anybody else."""
    port = free_port()
    while (following := free_port()) != port + 1:
        port = following
    return port


def _logs_by(sidecar: Envoy, mark: str) -> bool:
    """Whether all of its listeners that are in force have this in the format of a log."""
    dumps = json.loads(get(sidecar.admin_port, "/config_dump?resource=dynamic_listeners")).get("configs", [])
    return bool(dumps) and all(mark in json.dumps(dump.get("active_state")) for dump in dumps)
