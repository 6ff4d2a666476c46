"""The debug endpoints on a real port."""

from __future__ import annotations

import asyncio
import signal
import socket

import httpx
import pytest

from tests.debug.test_app import sources
from tests.envoy.running import free_port
from tests.patience import PATIENCE
from xds_server.debug.app import debug_app
from xds_server.debug.metrics import Metrics
from xds_server.debug.serve import serve_debug
from xds_server.errors import ConfigurationError


async def test_serves_on_a_port_of_the_systems_choice() -> None:
    async with (
        serve_debug(debug_app(sources(), Metrics(sources())), "127.0.0.1", 0) as port,
        httpx.AsyncClient(timeout=PATIENCE) as asking,
    ):
        answer = await asking.get(f"http://127.0.0.1:{port}/ready")

    assert answer.status_code == 200


@pytest.mark.parametrize(("any_host", "status"), [(False, 403), (True, 200)])
async def test_requests_for_another_host_are_refused_unless_all_are_let_in(any_host: bool, status: int) -> None:
    async with (
        serve_debug(debug_app(sources(), Metrics(sources())), "127.0.0.1", 0, any_host=any_host) as port,
        httpx.AsyncClient(timeout=PATIENCE) as asking,
    ):
        answer = await asking.get(f"http://127.0.0.1:{port}/ready", headers={"host": "evil.example"})

    assert answer.status_code == status


async def test_port_is_closed_and_nothing_runs_on_when_the_block_ends() -> None:
    port = free_port()  # where no client of the kernel's choice comes from: it might be the one that asks
    async with serve_debug(debug_app(sources(), Metrics(sources())), "127.0.0.1", port) as opened:
        assert opened == port

    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with (
        serve_debug(debug_app(sources(), Metrics(sources())), "127.0.0.1", 0) as port,
        httpx.AsyncClient(timeout=PATIENCE) as asking,
    ):
        await asking.get(f"http://127.0.0.1:{port}/ready")
        during = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    assert during == before


async def test_address_in_use_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"--debug-listen 127.0.0.1:{port}: Address already in use"):
            async with serve_debug(debug_app(sources(), Metrics(sources())), "127.0.0.1", port):
                pass
