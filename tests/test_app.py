"""The server as a whole: how it comes and goes."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.builders import entry, istio
from tests.envoy.running import Control, free_port, get, until
from tests.patience import PATIENCE
from tests.server.loopback import DELTA, SOTW, Client
from xds_server.server.held_files import HeldFiles
from xds_server.xds import type_url


@pytest.fixture
def ports() -> tuple[int, int]:
    """For xDS and for debugging."""
    return free_port(), free_port()


@pytest.fixture
def process(tmp_path: Path, ports: tuple[int, int]) -> Iterator[subprocess.Popen[bytes]]:
    """`xds-server serve` with one service, ready."""
    (tmp_path / "reviews.yaml").write_text(entry())
    addresses = [f"127.0.0.1:{port}" for port in ports]
    command = ["serve", str(tmp_path), "--listen", addresses[0], "--debug-listen", addresses[1], "--no-validation"]
    with subprocess.Popen([sys.executable, "-m", "xds_server", *command], stdout=subprocess.DEVNULL) as started:
        try:
            until(lambda: get(ports[1], "/ready"), what="the server is ready")
            yield started
        finally:
            started.kill()


async def test_sigterm_ends_streams_with_unavailable_and_the_process_with_0(
    process: subprocess.Popen[bytes], ports: tuple[int, int]
) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{ports[0]}") as connection:
        clients = [Client(connection, SOTW, node=node) for node in ("a", "b", "c")]
        for client in clients:
            await client.ask(type_url.CLUSTER)
            await client.ack(await client.response())

        process.send_signal(signal.SIGTERM)
        endings = [await client.ending() for client in clients]

    assert endings == [(grpc.StatusCode.UNAVAILABLE, "the server is going away")] * 3
    assert process.wait(PATIENCE) == 0


def test_a_service_outlives_a_server_that_is_killed_while_its_file_is_broken(tmp_path: Path) -> None:
    """Twice: what was restored once is kept like what was read."""
    state = tmp_path / "state"
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "reviews.yaml").write_text(entry("reviews"))
    control = Control(tmp_path, "--no-validation", "--state-dir", str(state))
    try:
        until(lambda: list(state.glob("policies/*/*.kept")), what="the policy file is kept")
        control.write("reviews.yaml", "kind: [")
        for _ in range(2):
            control.kill()
            control.start()
            (problem,) = control.problems()
            assert problem["message"].endswith("its last good form, of before the restart, stays in force")
            assert 'xds_server_documents{kind="ServiceEntry"} 1.0' in get(control.debug_port, "/metrics")
    finally:
        control.close()


async def test_what_a_node_refused_in_part_is_taken_away_by_the_server_after_it(tmp_path: Path) -> None:
    """The node took the rest of that response, and does not say so when it is back (C50, over a restart)."""
    state, late = tmp_path / "state", "outbound|80||late"
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "reviews.yaml").write_text(entry("reviews"))
    control = Control(tmp_path, "--no-validation", "--state-dir", str(state))
    try:
        async with _delta(control, "refuses") as one, _delta(control, "takes") as other:
            for client in (one, other):
                await client.ask(type_url.CLUSTER)
                await client.ack(await client.response())
            control.write("late.yaml", entry("late"))
            refused = await one.response()
            await one.ask(type_url.CLUSTER, nonce=refused.nonce, error="no good")
            await other.ack(await other.response())
            held = HeldFiles(state / "held", "")
            await asyncio.to_thread(until, lambda: late in str(held.read(time.time()).get("refuses")))
            control.kill()
        (tmp_path / "policies" / "late.yaml").unlink()
        await asyncio.to_thread(control.start)
        async with _delta(control, "refuses") as again:
            await again.ask(type_url.CLUSTER)
            while late not in (response := await again.response()).removed_resources:
                await again.ack(response)
    finally:
        control.close()


@asynccontextmanager
async def _delta(control: Control, node: str) -> AsyncIterator[Client]:
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{control.xds_port}", options=[("grpc.use_local_subchannel_pool", 1)]
    ) as connection:
        yield Client(connection, DELTA, node=node)


async def test_change_of_mutual_tls_waits_for_a_proxy_that_answers_nothing_only_so_long(tmp_path: Path) -> None:
    """And then says whom it did not wait for."""
    control = Control(tmp_path, "--no-validation", "--state-dir", str(tmp_path / "state"), "--mtls-change-time", "1")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{control.xds_port}") as connection:
            client = Client(connection, SOTW, node="mute")
            await client.ask(type_url.LISTENER)
            await client.response()
            control.write("mode.yaml", istio("PeerAuthentication", "mtls: {mode: DISABLE}"))
            await asyncio.to_thread(until, lambda: told(control), what="the last step is in force")
    finally:
        control.close()

    steps = [line["step"] for line in logged(control) if line["event"] == "mutual TLS changes"]
    assert steps == ["servers take both", "callers follow"]
    (late, _) = (line for line in logged(control) if line["event"].startswith("mutual TLS changes without waiting"))
    assert late["waiting_for"] == ["mute"]


async def test_how_long_an_edit_took_is_counted_from_the_first_notice_of_it(tmp_path: Path) -> None:
    """The debounce is a part of it: no edit is in force sooner."""
    control = Control(tmp_path, "--debounce", "0.7", "--no-validation", "--state-dir", str(tmp_path / "state"))
    try:
        async with _delta(control, "web") as client:
            await client.ask(type_url.CLUSTER)
            await client.ack(await client.response())
            for name in ("first", "second"):
                count, spent = figures(control)
                control.write(f"{name}.yaml", entry(name))
                await client.ack(await client.response())
                await asyncio.to_thread(until, lambda count=count: figures(control)[0] > count)
            took = figures(control)[1] - spent
    finally:
        control.close()

    assert took >= 0.7, "of the second: the first takes the server a second, which never translated before"


def figures(control: Control) -> tuple[float, float]:
    """How many edits were counted, and how long they took in all: of one moment, for each is told a moment late."""
    lines = (line.split() for line in get(control.debug_port, "/metrics").splitlines())
    told = {line[0]: line[1] for line in lines if line[0].startswith("xds_server_edit_to_ack_seconds_")}
    count, total = (float(told[f"xds_server_edit_to_ack_seconds_{of}"]) for of in ("count", "sum"))
    return count, total


def told(control: Control) -> bool:
    """Whether the log tells of both steps that nobody waited for."""
    return [line["event"] for line in logged(control)].count("mutual TLS changes without waiting any longer") == 2


def logged(control: Control) -> list[dict[str, Any]]:
    """The lines of the server's log."""
    whole = control.log_file.read_text().rpartition("\n")[0]  # the last may be half-written
    return [json.loads(line) for line in whole.splitlines()]
