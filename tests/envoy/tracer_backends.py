"""Who takes spans that are not OTLP: Datadog's own test agent, SkyWalking's own protocol, Zipkin's as it is documented.

What they were told comes in one form, so that a test can say the same of each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from tests.envoy.running import HttpServer, free_port, get, until
from tests.patience import PATIENCE
from xds_server.demo.machine import is_open

_PACKAGES = (("ddapm-test-agent>=1.69,<2",), ("--no-deps", "--ignore-requires-python", "apache-skywalking==1.2.0"))
"""What pip is told. SkyWalking's next version has left its protocol out, and only that is wanted of this one."""


@dataclass(frozen=True, slots=True)
class Told:
    """A span; `parent_id` "" begins a trace, `path` is that of the request."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    path: str


class Backend(ABC):
    """One that takes spans on `port` of loopback."""

    port: int

    @abstractmethod
    def told(self) -> list[Told]:
        """Every span so far."""


def python_of_backends(directory: Path) -> Path:
    """An interpreter with packages that cannot stand beside ours: they want an older protobuf.

    Without a package index the test is skipped.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    python = directory / "bin" / "python"
    for packages in _PACKAGES:
        command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile", *packages]
        if (done := subprocess.run(command, capture_output=True, check=False, text=True)).returncode:
            pytest.skip(f"no {packages[-1]} to be had: {done.stderr.strip().splitlines()[-1]}")
    return python


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class _Endpoint(_Strict):
    service_name: str = ""
    ipv4: str = ""
    ipv6: str = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0  # "absent if unknown, please don't set to zero": Envoy's is 0


class _Annotation(_Strict):
    timestamp: int
    value: str


class _ZipkinSpan(_Strict):
    """A span of Zipkin's API, version 2 (zipkin.io/zipkin-api): with what Envoy knows of each, and nothing else."""

    trace_id: Annotated[str, Field(pattern="^[0-9a-f]{16}([0-9a-f]{16})?$")]
    id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    parent_id: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None = None
    name: str
    kind: Literal["CLIENT", "SERVER"]
    timestamp: Annotated[int, Field(ge=1)]
    duration: Annotated[int, Field(ge=1)]
    debug: bool = False
    shared: bool = False
    local_endpoint: _Endpoint
    remote_endpoint: _Endpoint | None = None
    annotations: list[_Annotation] = []
    tags: dict[str, str]


_SPANS = TypeAdapter(list[_ZipkinSpan])


class Zipkin(Backend):
    """Takes what is posted to /api/v2/spans; what is not as documented is answered 400 and kept as a mistake."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self._spans: list[_ZipkinSpan] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = _body(self.rfile, self.headers.get("content-length"))
                self.send_response(outer.take(self.path, self.headers.get("content-type", ""), body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = HttpServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, path: str, content_type: str, body: bytes) -> int:
        """Take in one request; its status."""
        try:
            if (path, content_type) != ("/api/v2/spans", "application/json"):
                raise ValueError(f"{content_type} to {path}")
            self._spans += _SPANS.validate_json(body)
        except ValueError as error:
            self.mistakes.append(str(error))
            return 400
        return 202

    def told(self) -> list[Told]:
        """Every span so far."""
        return [
            Told(
                span.trace_id,
                span.id,
                span.parent_id or "",
                span.local_endpoint.service_name,
                urlsplit(span.tags["http.url"]).path,
            )
            for span in self._spans
        ]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _body(stream: BufferedIOBase, length: str | None) -> bytes:
    """What was posted; without a length it comes in chunks, as Envoy's tracer sends it."""
    if length is not None:
        return stream.read(int(length))
    parts = []
    while size := int(stream.readline(), 16):
        parts.append(stream.read(size))
        stream.readline()
    stream.readline()
    return b"".join(parts)


class Datadog(Backend):
    """Datadog's test agent, with its checks of traces on."""

    def __init__(self, python: Path, directory: Path) -> None:
        self.port = free_port()
        command = [python, "-m", "ddapm_test_agent.agent", "--port", self.port, "--snapshot-dir", directory]
        ports = ("--otlp-http-port", free_port(), "--otlp-grpc-port", free_port())
        self._process = _process([*command, *ports], directory / "datadog.log")
        until(lambda: get(self.port, "/info"), what=f"Datadog's agent answers, see {directory}/datadog.log")

    def told(self) -> list[Told]:
        """Every span so far."""
        return [_of_datadog(span) for trace in json.loads(get(self.port, "/test/session/traces")) for span in trace]

    def close(self) -> None:
        """End it."""
        _end(self._process)


def _of_datadog(span: dict[str, Any]) -> Told:
    meta = span["meta"]
    return Told(
        str(span["trace_id"]),
        str(span["span_id"]),
        str(span.get("parent_id") or ""),
        span["service"],
        urlsplit(meta["http.url"]).path,
    )


class SkyWalking(Backend):
    """A server of SkyWalking's definitions. A span is named by its segment and its number there."""

    def __init__(self, python: Path, directory: Path) -> None:
        self.port, self._output = free_port(), directory / "segments"
        self._output.touch()
        script = Path(__file__).with_name("skywalking_server.py")
        self._process = _process([python, script, self.port, self._output], directory / "skywalking.log")
        until(lambda: is_open(self.port), what=f"the server answers, see {directory}/skywalking.log")

    def told(self) -> list[Told]:
        """Every span so far."""
        segments = [json.loads(line) for line in self._output.read_text().split("\n")[:-1]]
        return [span for segment in segments for span in _of_skywalking(segment)]

    def close(self) -> None:
        """End it."""
        _end(self._process)


def _of_skywalking(segment: dict[str, Any]) -> Iterator[Told]:
    for span in segment["spans"]:
        refs = [f"{ref['parentTraceSegmentId']} {ref['parentSpanId']}" for ref in span["refs"]]
        above = f"{segment['traceSegmentId']} {span['parentSpanId']}" if span["parentSpanId"] >= 0 else ""
        yield Told(
            segment["traceId"],
            f"{segment['traceSegmentId']} {span['spanId']}",
            above or "".join(refs),
            segment["service"],
            span["operationName"],
        )


def _process(command: list[object], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen([str(part) for part in command], stdout=output, stderr=subprocess.STDOUT)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(PATIENCE)
