"""The collector of the demo: what is found, and what it does with spans."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from tests.envoy.running import free_port, until
from tests.envoy.traced import two_ports
from tests.patience import PATIENCE
from xds_server._proto import trace_pb2
from xds_server.demo.machine import is_open
from xds_server.demo.span_collector import Tally, collector_command, collector_environment, find_collector, spans_in
from xds_server.server.otlp import EXPORT


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `rotel` that stands before any other, without its program."""
    folder = tmp_path / "rotel"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_where_none_is_installed_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rotel", None)

    assert find_collector() == "rotel is not installed: pip install 'xds-server[demo]'"


def test_a_package_without_its_program_is_none(package: Path) -> None:
    assert find_collector() == f"{package}/rotel-agent does not run: No such file or directory"


def test_a_program_that_this_system_cannot_run_is_none(package: Path) -> None:
    """Such as one that was linked with a library that is not here."""
    program = package / "rotel-agent"
    program.write_text("#!/bin/sh\necho no libpython >&2; exit 127\n")
    program.chmod(0o755)

    assert find_collector() == f"{program} does not run: no libpython"


@pytest.mark.parametrize(
    ("line", "spans"),
    [
        (b'{"msg":"Received traces.","spans":7,"resource_spans":1}', 7),
        (b'{"msg":"Received traces.","resource_spans":1}', 0),
        (b'{"msg":"Starting Rotel.","spans":7}', 0),
        (b"7", 0),
        (b"thread panicked: \xff", 0),
    ],
)
def test_spans_are_counted_by_the_lines_about_them(line: bytes, spans: int) -> None:
    assert spans_in(line) == spans


def export(port: int, count: int) -> None:
    """Send spans as an Envoy does."""
    now = time.time_ns()
    spans = [
        trace_pb2.Span(trace_id=os.urandom(16), span_id=os.urandom(8), start_time_unix_nano=now) for _ in range(count)
    ]
    resource = trace_pb2.ResourceSpans(scope_spans=[trace_pb2.ScopeSpans(spans=spans)])
    request = trace_pb2.ExportTraceServiceRequest(resource_spans=[resource])
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        channel.unary_unary(EXPORT)(request.SerializeToString(), timeout=PATIENCE)


def test_what_a_collector_takes_is_counted_and_the_rest_of_its_log_kept(tmp_path: Path) -> None:
    """Nobody listens where it passes spans on to: it says so, and takes more."""
    program = find_collector()
    if isinstance(program, str):
        pytest.skip(f"no collector here: {program}")
    port, log = two_ports(), tmp_path / "collector.log"
    collector = subprocess.Popen(
        collector_command(program, port=port, onwards=free_port()),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | collector_environment(),
    )  # fmt: skip
    try:
        tally = Tally(collector, log)
        until(lambda: is_open(port), what="the collector listens")
        export(port, 3)
        export(port, 4)
        until(lambda: tally.spans == 7, what="seven spans are counted")
        until(lambda: "Exporting failed" in log.read_text(), what="it says that nobody takes them")
        export(port, 5)
        until(lambda: tally.spans == 12, what="it takes more")
    finally:
        collector.terminate()
        collector.wait(PATIENCE)

    assert "Received traces" not in log.read_text()
