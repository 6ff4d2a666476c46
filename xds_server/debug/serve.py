"""Serving the debug application on the event loop that is already running."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

from xds_server.debug.host_guard import HostGuard
from xds_server.errors import ConfigurationError


@contextlib.asynccontextmanager
async def serve_debug(
    app: ASGIApp, host: str, port: int, *, any_host: bool = False, flag: str = "--debug-listen"
) -> AsyncIterator[int]:
    """Serve `app` inside the `async with` block, which gets the port: the system's choice when `port` is 0.

    Requests that mean another host are refused (see `HostGuard`), unless `any_host` lets them in.

    Signals are left alone: whoever holds the block decides when it ends.

    Raises:
        ConfigurationError: the address, which `flag` gives, cannot be listened on.
    """
    listener = _listener(host, port, flag)
    guarded = app if any_host else HostGuard(app, host)
    server = _Server(
        uvicorn.Config(guarded, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="debug endpoints")
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        listener.close()  # uvicorn does, unless it was told to stop while it started


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listener(host: str, port: int, flag: str) -> socket.socket:
    """Bound and listening before it is returned, so that the port answers at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(f"{flag} {host}:{port}: {reason}; choose another port, or stop what uses it") from None
