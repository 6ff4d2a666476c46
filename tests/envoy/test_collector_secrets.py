"""What collectors know their clients by: headers and tokens, as written and from the server's environment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.builders import istio
from tests.envoy.running import Backend, Control, Envoy, HttpServer, envoy, get, until
from tests.envoy.test_traffic import service

TOKEN = "50 % more, t0ken-9b1f7c"  # noqa: S105 # of this test
"""In the server's environment; a per cent sign begins a variable of Envoy's."""
METADATA, LITERAL = "m3ta-77e0", "wr1tten-4d2e"


class Collector:
    """Takes anything by HTTP and by gRPC.

    Attributes:
        asked: (path, headers) of every request.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = HttpServer(("127.0.0.1", 0), Handler)
        self._grpc = grpc.server(ThreadPoolExecutor(4))
        self._grpc.add_generic_rpc_handlers([_Anything(self)])
        self.ports = {"http": self._http.server_port, "grpc": self._grpc.add_insecure_port("127.0.0.1:0")}
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self._grpc.start()

    def header(self, path: str, name: str) -> str:
        """Of the last request for a path; "" before the first."""
        return next((headers.get(name, "") for asked, headers in reversed(self.asked) if asked == path), "")

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None)


class _Anything(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def service(self, handler_call_details: Any) -> Any:
        """Take note of the metadata, and answer with an empty message."""
        metadata: Mapping[str, str] = dict(handler_call_details.invocation_metadata)
        self._collector.asked.append((handler_call_details.method, dict(metadata)))
        return grpc.stream_unary_rpc_method_handler(lambda requests, _: bytes(0 * sum(1 for _ in requests)))


@dataclass(frozen=True)
class Site:
    """A caller whose every request is traced, and who takes its spans."""

    control: Control
    caller: Envoy
    collector: Collector

    def trace_by(self, provider: str) -> None:
        """Have spans go to a provider."""
        config = f"extensionProviders: [{{name: it, {provider}}}], defaultProviders: {{tracing: [it]}}"
        sampled = "defaultConfig: {tracing: {sampling: 100}}"
        self.control.write("mesh.yaml", istio("MeshConfig", f"{config}, {sampled}").replace("/v1\n", "/v1alpha1\n"))

    def tells(self, path: str, header: str) -> str:
        """Make calls; what the collector then has of a header."""
        self.caller.calls(5, "shop")  # as many as Envoy gathers before it tells
        return self.collector.header(path, header)


@pytest.fixture(scope="module")
def site(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("collector")
    with contextlib.ExitStack() as parts, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLLECTOR_TOKEN", f"{TOKEN}\n")
        patch.setenv("METADATA_TOKEN", METADATA)
        backend, collector = Backend("shop"), Collector()
        parts.callback(backend.close)
        parts.callback(collector.close)
        control = Control(directory, "--log-level", "debug")
        parts.callback(control.close)
        named = ", ".join(
            f"{{number: {4317 + at}, name: {name}, protocol: {name.upper()}, targetPort: {port}}}"
            for at, (name, port) in enumerate(collector.ports.items())
        )
        collecting = f"hosts: [collector], resolution: STATIC, ports: [{named}], endpoints: [{{address: 127.0.0.1}}]"
        control.write("services.yaml", service("shop", [backend]) + istio("ServiceEntry", collecting, name="collector"))
        caller = envoy(control, envoy_binary, directory, "caller")
        parts.callback(caller.close)
        made = Site(control, caller.wait(), collector)
        until(lambda: caller.call("shop").status == 200, what="a call is through")
        yield made
        log = control.log_file.read_text()
        assert TOKEN not in log
        assert LITERAL not in log
        assert METADATA not in log


ENV, WRITTEN = "{name: x-token, envName: COLLECTOR_TOKEN}", f"{{name: x-token, value: {LITERAL}}}"
HTTP, GRPC = "service: collector, port: 4317", "service: collector, port: 4318"


@pytest.mark.parametrize(
    ("provider", "path", "header", "value"),
    [
        (f"zipkin: {{{HTTP}, headers: [{ENV}]}}", "/api/v2/spans", "x-token", TOKEN),
        (f"zipkin: {{{HTTP}, headers: [{WRITTEN}]}}", "/api/v2/spans", "x-token", LITERAL),
        (f"opentelemetry: {{{HTTP}, http: {{path: /v1, headers: [{ENV}]}}}}", "/v1", "x-token", TOKEN),
        (
            f"opentelemetry: {{{GRPC}, grpc: {{initialMetadata: [{ENV.replace('COLLECTOR', 'METADATA')}]}}}}",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            "x-token",
            METADATA,
        ),
        (
            f"skywalking: {{{GRPC}, accessToken: {LITERAL}}}",
            "/skywalking.v3.TraceSegmentReportService/collect",
            "authentication",
            LITERAL,
        ),
    ],
    ids=["zipkin-environment", "zipkin-written", "otlp-http", "otlp-grpc", "skywalking"],
)
def test_collector_gets_what_it_knows_its_clients_by_and_nobody_else_does(
    site: Site, provider: str, path: str, header: str, value: str
) -> None:
    site.trace_by(provider)

    until(lambda: site.tells(path, header) == value, what=f"{path} gets its {header}")

    assert site.control.problems() == []
    pages = ("/debug/configz", f"/debug/config_dump?proxyID={site.caller.node_id}", "/debug/problems", "/metrics")
    said = "".join(get(site.control.debug_port, page) for page in pages)
    assert [secret for secret in (TOKEN, METADATA, LITERAL) if secret in said] == []
    assert "redacted" in said


def test_dynatrace_is_asked_how_much_to_sample_with_the_headers_of_spans(site: Site) -> None:
    sampler = "dynatraceSampler: {tenant: abc, clusterId: -7}"
    site.trace_by(f"opentelemetry: {{{HTTP}, http: {{path: /dynatrace, headers: [{ENV}]}}, {sampler}}}")

    until(lambda: site.tells("/dynatrace", "x-token") == TOKEN, what="spans come")
    until(lambda: site.collector.header("/api/v2/samplingConfiguration", "x-token") == TOKEN, what="it is asked")


def test_per_cent_sign_cannot_be_sent_by_grpc(site: Site) -> None:
    """Envoy sends it twice, or complains in its log, with the secret: the header is left out."""
    site.trace_by(f"opentelemetry: {{{GRPC}, grpc: {{initialMetadata: [{ENV}, {{name: x-unsent, value: '1'}}]}}}}")
    path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

    until(lambda: site.tells(path, "x-unsent") == "1", what="spans come")

    assert site.collector.header(path, "x-token") == ""
    assert [problem["code"] for problem in site.control.problems()] == ["unset-variable"]


def test_variable_that_is_not_set_leaves_its_header_out_with_a_warning(site: Site) -> None:
    site.trace_by(f"zipkin: {{{HTTP}, path: /unset, headers: [{ENV.replace('TOKEN', 'NOTHING')}]}}")

    until(lambda: site.tells("/unset", "content-type"), what="spans come")

    assert site.collector.header("/unset", "x-token") == ""
    (problem,) = site.control.problems()
    assert (problem["code"], problem["field"]) == (
        "unset-variable",
        "spec.extensionProviders[0].zipkin.headers[0].envName",
    )
