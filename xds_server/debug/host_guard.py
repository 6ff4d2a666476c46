"""Who may be meant by a request to the debug port: nobody but this server, under a name that is surely its own.

A page in a browser on this machine may rebind its own name to 127.0.0.1 and read what answers there, but it cannot
choose the Host header: the browser sends the page's name (DNS rebinding; the defence is that of Jupyter and Rails).
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class HostGuard:
    """Answers 403 to a request whose Host is neither a loopback name or address nor `host`; hands on every other.

    Args:
        host: the address that the port was told to listen on, without the port.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._host = host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        written = Headers(scope=scope).get("host", "")
        app = self._app if self._is_ours(_name(written)) else _refusal(written)
        await app(scope, receive, send)

    def _is_ours(self, name: str) -> bool:
        return name in {self._host, "localhost"} or name.endswith(".localhost") or _is_loopback(name)


def _refusal(written: str) -> JSONResponse:
    reason = f"the Host header {written!r} names no address of this port; ask for localhost, or serve with --insecure"
    return JSONResponse({"error": reason}, status_code=403)


def _name(written: str) -> str:
    """A Host header without its port and an IPv6 address's brackets, in lower case (RFC 9110, section 7.2)."""
    if written.startswith("["):
        return written[1:].partition("]")[0].lower()
    return written.partition(":")[0].lower()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
