"""webhook-handler and api: both take a request and have another service do the work.

POST /webhook calls UPSTREAM_URL, http://worker-service/process-job unless the environment says otherwise, and hands
its answer on. No retry, no timeout, no address, no certificate: the mesh has them all. Of headers it hands on only
those that tie its own call to the call it serves, which no proxy can do for it.
Environment: PORT (8000), UPSTREAM_URL; http_proxy where nothing captures traffic.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UPSTREAM_URL = os.environ.get("UPSTREAM_URL", "http://worker-service/process-job")
HANDED_ON = ("x-request-id", "traceparent", "tracestate", "b3", "x-retry", "user-agent")


class Relay(BaseHTTPRequestHandler):
    """Every POST becomes one call; the upstream's answer is the answer."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # headers and body in one segment: Nagle would hold the second one for 40 ms

    def do_GET(self) -> None:
        """Answer a health check."""
        self._answer(200, b'{"ready": true}\n')

    def do_POST(self) -> None:
        """Have the upstream do the work."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name: value for name in HANDED_ON if (value := self.headers.get(name))}
        call = urllib.request.Request(UPSTREAM_URL, data=body, headers=headers, method="POST")  # noqa: S310 - own setting
        try:
            with urllib.request.urlopen(call) as answer:  # noqa: S310 - http alone, as above
                self._answer(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            self._answer(error.code, error.read())
        except OSError as error:
            self._answer(502, f'{{"error": "{type(error).__name__}"}}\n'.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: the mesh has the access log."""

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    address = (os.environ.get("HOST", ""), int(os.environ.get("PORT", "8000")))
    ThreadingHTTPServer(address, Relay).serve_forever()
