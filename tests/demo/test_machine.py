"""The processes of the demo."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.demo.apps.started import ask
from tests.envoy.running import until
from xds_server.demo.layout import Layout, layout, write_policies
from xds_server.demo.machine import Machine, fetch
from xds_server.errors import ConfigurationError


@pytest.fixture
def demo() -> Layout:
    return layout()


def test_nothing_outlives_the_machine(demo: Layout, tmp_path: Path, envoy_binary: Path) -> None:
    """An application and its Envoy, started and ended by their ids."""
    write_policies(tmp_path / "policies", demo, collector=False)
    worker = demo.workers[0]
    with Machine(tmp_path, demo, envoy_binary) as machine:
        machine.start_server()
        machine.start_sidecar(worker)
        machine.wait_for_sidecar(worker)
        until(lambda: ask(f"http://127.0.0.1:{worker.app_port}/"), what="the application listens")
        (proxy,) = json.loads(fetch(demo.debug_port, "/debug/syncz") or "[]")
        problems = json.loads(fetch(demo.debug_port, "/debug/problems") or "[]")
        page = "/debug/traces?service=xds-server"
        edits = until(lambda: json.loads(fetch(demo.debug_port, page) or "[]"), what="the first load is traced")
        running = [process.pid for process in machine._running.values()]

    assert {state["lastError"] for state in proxy["resources"].values()} == {""}
    assert problems == []
    assert {trace["name"] for trace in edits} == {"policy change"}
    assert len(running) == 3
    assert [pid for pid in running if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_what_is_interrupted_while_it_starts_is_ended_too(
    demo: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    """The process is there, and nobody has been told of it yet."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        signal.raise_signal(sent)
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.signal(sent, signal.default_int_handler)  # as the command has it, whatever started these tests
    try:
        with pytest.raises(KeyboardInterrupt), Machine(tmp_path, demo, tmp_path / "no-envoy") as machine:
            machine._start("slow", ["sleep", "60"])
    finally:
        signal.signal(sent, before)

    assert started[0].returncode == -signal.SIGTERM


def test_process_that_ends_is_named_with_its_log(demo: Layout, tmp_path: Path) -> None:
    with Machine(tmp_path, demo, tmp_path / "no-envoy") as machine:
        machine._start("short", ["true"])

        with pytest.raises(ConfigurationError, match=rf"short ended; its log is {tmp_path}/logs/short\.log"):
            machine.wait("short", lambda: False)


def test_process_that_is_not_ready_in_time_is_named(demo: Layout, tmp_path: Path) -> None:
    with Machine(tmp_path, demo, tmp_path / "no-envoy") as machine:
        machine._start("slow", ["sleep", "60"])

        with pytest.raises(ConfigurationError, match=r"slow was not ready in 0 s"):
            machine.wait("slow", lambda: False, seconds=0.1)


def test_a_collector_that_does_not_start_is_named(demo: Layout, tmp_path: Path) -> None:
    """Its log says why, as that of any other process."""
    with Machine(tmp_path, demo, tmp_path / "no-envoy", Path("/bin/false")) as machine:
        with pytest.raises(ConfigurationError, match=r"collector ended; its log is .*/logs/collector\.log"):
            machine.start_collector()

        assert machine.collected is not None
        assert machine.collected.spans == 0


def test_what_cannot_be_fetched_is_none() -> None:
    assert fetch(1, "/") is None, "nobody listens there"
