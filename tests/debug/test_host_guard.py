"""The debug port answers only to names that are surely its own."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse

from xds_server.debug.host_guard import HostGuard


async def ask(host: str, listen: str = "127.0.0.1") -> httpx.Response:
    transport = httpx.ASGITransport(HostGuard(PlainTextResponse("inside"), listen))
    async with httpx.AsyncClient(transport=transport, base_url="http://debug") as client:
        return await client.get("/", headers={"host": host})


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:15014", "127.8.8.8", "localhost:1", "LOCALHOST", "a.localhost", "[::1]:15014"]
)
async def test_loopback_names_and_addresses_are_answered(host: str) -> None:
    assert (await ask(host)).text == "inside"


async def test_the_address_that_was_configured_is_answered() -> None:
    assert (await ask("Mesh.example:15014", "mesh.example")).text == "inside"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:15014", "10.0.0.1", "127.0.0.1.evil.example", "localhost.evil.example", ""]
)
async def test_any_other_name_is_refused_with_the_reason(host: str) -> None:
    """A page of evil.example that has bound its name to 127.0.0.1 would else read every route and endpoint."""
    answer = await ask(host)

    assert answer.status_code == 403
    assert f"the Host header {host!r} names no address of this port" in answer.json()["error"]
