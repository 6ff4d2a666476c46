"""What real Envoys tell of real requests, and what this server makes of it: traces are trees, and counts are exact."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

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


def policies(inbound: dict[str, int], applications: dict[str, Application], receiver: int) -> str:
    """Services, sidecars, and who is told of requests."""
    text = f"""\
kind: MeshConfig
extensionProviders:
- {{name: otel, opentelemetry: {{service: telemetry, port: 4317}}}}
- {{name: otel-http, opentelemetry: {{service: telemetry, port: 4318, http: {{path: /v1/traces}}}}}}
- {{name: als, envoyHttpAls: {{service: telemetry, port: 4317}}}}
defaultProviders: {{accessLogging: [als]}}
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


NOWHERE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: nowhere}}
spec:
  hosts: [nowhere]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
"""
EVERYTHING = telemetry("tracing: [{providers: [{name: otel}], randomSamplingPercentage: 100}]")


@pytest.fixture(scope="module")
def site(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """All of it, every request traced and logged."""
    directory, receiver = tmp_path_factory.mktemp("telemetry"), two_ports()
    control = Control(directory, "--telemetry-listen", f"127.0.0.1:{receiver}")
    found = Site(control, {name: free_port() for name in NAMES})
    try:
        for name in NAMES:
            found.envoys[name] = envoy(control, envoy_binary, directory, name, labels={"app": name})
        for name, following in zip(NAMES, (*NAMES[1:], ""), strict=True):
            found.applications[name] = Application(found.envoys[name].proxy_port, following)
        control.write("mesh.yaml", policies(found.inbound, found.applications, receiver))
        control.write("telemetry.yaml", EVERYTHING)
        until(lambda: found.call("/warm") == 200, seconds=120, what="a request goes through all three")
        yield found
    finally:
        for sidecar in found.envoys.values():
            sidecar.close()
        for application in found.applications.values():
            application.close()
        control.close()


def chain(tree: dict[str, Any]) -> list[tuple[str, str]]:
    """(service, kind) of each span from the top down, each of which led to one other."""
    found = []
    while True:
        found.append((tree["service"].partition(".")[0], tree["kind"]))
        if not tree["children"]:
            return found
        (tree,) = tree["children"]


def test_a_call_through_three_services_is_one_tree(site: Site) -> None:
    """Five spans: what each takes, and what the first two send on."""
    assert site.call("/tree") == 200
    whole = until(
        lambda: [trace for trace in site.traces(*NAMES) if trace["spans"] == 5], what="all five spans of a call are in"
    )
    tree = site.control.debug(f"/debug/traces?id={whole[0]['id']}")

    assert isinstance(tree, dict)
    (top,) = tree["trees"]
    assert chain(top) == [
        ("webhook-handler", "server"), ("webhook-handler", "client"), ("worker", "server"), ("worker", "client"),
        ("second", "server"),
    ]  # fmt: skip
    assert not tree["failed"]
    assert "second.default" in get(site.control.debug_port, f"/traces?id={whole[0]['id']}")


def test_a_call_of_an_application_that_forwards_nothing_is_a_trace_of_its_own(site: Site) -> None:
    """No proxy can know which request a call is made for."""
    site.applications["worker"].forwards = False
    try:
        assert site.call("/split") == 200
        until(lambda: site.traces("webhook-handler", "worker"), what="a trace ends at the worker")
        until(lambda: site.traces("worker", "second"), what="what the worker calls is another trace")
    finally:
        site.applications["worker"].forwards = True


def test_a_thousand_requests_of_which_37_fail_are_told_exactly(site: Site) -> None:
    """Two spans and two entries each: of the proxy that sends it, and of the one that takes it."""
    connection = http.client.HTTPConnection("127.0.0.1", site.envoys["webhook-handler"].proxy_port, timeout=20)
    seen = []
    for number in range(1000):
        path = "/thousand/fail" if number % 27 == 0 and number < 27 * 37 else "/thousand"
        connection.request("GET", f"http://second{path}")
        answer = connection.getresponse()
        answer.read()
        seen.append(answer.status)
    connection.close()
    assert (len(seen), seen.count(500)) == (1000, 37)

    def told() -> bool:
        traces = site.traces("webhook-handler", "second")
        return len(traces) == 1000 and sum(trace["spans"] for trace in traces) == 2000

    until(told, what="1,000 traces of two spans")
    assert sum(trace["failed"] for trace in site.traces("webhook-handler", "second")) == 37
    until(lambda: len(site.logged("/thousand")) == 2000, what="2,000 entries")
    for sides in ("outbound|", "inbound|"):
        entries = [entry for entry in site.logged("/thousand") if str(entry["cluster"]).startswith(sides)]
        assert (len(entries), sum(entry["status"] == 500 for entry in entries)) == (1000, 37)


def test_the_command_shows_what_went_wrong_in_words_as_it_happens(site: Site) -> None:
    """Nobody listens where `nowhere` is said to be."""
    site.control.write("nowhere.yaml", NOWHERE.format(port=free_port()))
    until(
        lambda: (
            site.envoys["worker"].call("nowhere", "/unknown-yet")
            and any("UF" in entry["flags"] for entry in site.logged("/unknown-yet"))
        ),
        what="the service is known",
    )
    command = [sys.executable, "-m", "xds_server", "logs", "--follow", "--service", "nowhere"]
    following = subprocess.Popen(
        [*command, "--server", f"127.0.0.1:{site.control.debug_port}"], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert following.stdout is not None
        site.envoys["worker"].call("nowhere", "/called")
        head = next(text for text in following.stdout if "/called" in text)

        assert "503" in head
        assert "worker → nowhere" in head
        assert "no connection to the service" in next(following.stdout)
    finally:
        following.terminate()
        following.communicate()


def test_a_filter_lets_only_what_it_says_be_logged(site: Site) -> None:
    """CEL, in Envoy itself."""
    filtered = telemetry('accessLogging: [{filter: {expression: "response.code >= 500"}}]', "second").replace(
        "spec: {", "spec: {selector: {matchLabels: {app: second}}, "
    )
    site.control.write("filter.yaml", filtered)
    outcomes = iter(range(10_000))

    def called() -> bool:
        """The last good call of a round is logged by the caller alone once the filter is in force."""
        path = f"/filter/{next(outcomes)}"
        site.envoys["worker"].call("second", path)
        site.envoys["worker"].call("second", f"{path}/fail")
        until(lambda: len([entry for entry in site.logged(path) if "fail" in entry["path"]]) == 2)
        return len([entry for entry in site.logged(path) if "fail" not in entry["path"]]) == 1

    until(called, what="only the failure is logged where it failed")
    site.control.write("filter.yaml", "")


def test_spans_come_by_http_too(site: Site) -> None:
    """OTLP in protobuf to /v1/traces."""
    before = len(site.traces(*NAMES))
    site.control.write("telemetry.yaml", EVERYTHING.replace("name: otel", "name: otel-http"))
    until(
        lambda: (
            site.call("/http") == 200
            and site.envoys["second"].stats(r"cluster\.outbound\|4318\|\|telemetry;?\.upstream_rq_2xx")
        ),
        what="the collector answers by HTTP",
    )
    until(lambda: len([trace for trace in site.traces(*NAMES) if trace["spans"] == 5]) > before)
    site.control.write("telemetry.yaml", EVERYTHING)
