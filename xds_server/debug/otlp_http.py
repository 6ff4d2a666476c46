"""OTLP over HTTP: the spans that applications and proxies post to /v1/traces. A port of its own, off by default."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from xds_server.errors import ProtocolViolation

PROTOBUF = "application/x-protobuf"


def otlp_app(export: Callable[[bytes], bytes], most_bytes: int) -> Starlette:
    """The application.

    Args:
        export: takes in a request's body and gives that of its answer; raises ProtocolViolation for no such body.
        most_bytes: of a body.
    """

    async def traces(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != PROTOBUF:
            raise HTTPException(415, f"spans come as {PROTOBUF}")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "spans come uncompressed")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > most_bytes:
                raise HTTPException(413, f"more than {most_bytes} bytes at once")
        try:
            return Response(export(body), media_type=PROTOBUF)
        except ProtocolViolation as violation:
            raise HTTPException(400, str(violation)) from None

    return Starlette(
        routes=[Route("/v1/traces", traces, methods=["POST"])], exception_handlers={HTTPException: _refusal}
    )


async def _refusal(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, status_code=error.status_code)
