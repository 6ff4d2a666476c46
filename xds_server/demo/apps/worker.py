"""worker: does the jobs. POST /process-job answers who did it, and for whom, where the mesh has proved that.

POST /behave {"status": 500} makes it answer that, {"delay": 3} makes it slow; {} mends it.
Environment: PORT (8000), NAME (the host name), VERSION (v1).
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("NAME") or socket.gethostname()
VERSION = os.environ.get("VERSION", "v1")


class Worker(BaseHTTPRequestHandler):
    """One request at a time per connection; how it behaves is shared by all."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # headers and body in one segment: Nagle would hold the second one for 40 ms
    status = 200
    delay = 0.0

    def do_GET(self) -> None:
        """Answer a health check."""
        self._answer(200, {"worker": NAME, "version": VERSION})

    def do_POST(self) -> None:
        """Do a job, or take a new behaviour."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path == "/behave":
            wish = json.loads(body or b"{}")
            Worker.status, Worker.delay = int(wish.get("status", 200)), float(wish.get("delay", 0))
            return self._answer(200, {"worker": NAME, "status": Worker.status, "delay": Worker.delay})
        time.sleep(Worker.delay)
        answer = {"worker": NAME, "version": VERSION, "path": self.path}
        if certificate := self.headers.get("x-forwarded-client-cert"):
            answer["caller"] = certificate.rpartition("URI=")[2].partition(";")[0]
        return self._answer(Worker.status, answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing: the mesh has the access log."""

    def _answer(self, status: int, answer: Mapping[str, object]) -> None:
        body = json.dumps(answer).encode() + b"\n"
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    address = (os.environ.get("HOST", ""), int(os.environ.get("PORT", "8000")))
    ThreadingHTTPServer(address, Worker).serve_forever()
