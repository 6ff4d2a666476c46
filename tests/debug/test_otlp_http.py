"""OTLP over HTTP."""

from __future__ import annotations

import httpx
import pytest

from xds_server.debug.otlp_http import PROTOBUF, otlp_app
from xds_server.errors import ProtocolViolation


async def post(body: bytes, **headers: str) -> httpx.Response:
    def export(data: bytes) -> bytes:
        if data == b"bad":
            raise ProtocolViolation("INVALID_ARGUMENT", "malformed")
        return b"" if data else b"empty"

    transport = httpx.ASGITransport(otlp_app(export, most_bytes=10))
    async with httpx.AsyncClient(transport=transport, base_url="http://any") as client:
        sent = {"content-type": PROTOBUF, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await client.post("/v1/traces", content=body, headers=sent)


async def test_spans_are_taken() -> None:
    answer = await post(b"good")

    assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"bad", {}, 400),
        (b"x" * 11, {}, 413),
        (b"good", {"content_type": "application/json"}, 415),
        (b"good", {"content_encoding": "gzip"}, 415),
    ],
)
async def test_what_cannot_be_taken_is_refused(body: bytes, headers: dict[str, str], status: int) -> None:
    assert (await post(body, **headers)).status_code == status
