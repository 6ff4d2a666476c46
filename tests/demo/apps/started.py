"""The demo's applications as processes, and one request to them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

from tests.envoy.running import free_port, until
from tests.patience import PATIENCE


@contextlib.contextmanager
def started(module: str, **environment: str) -> Iterator[str]:
    """An application that listens; gives its URL."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", f"xds_server.demo.apps.{module}"],
        env=os.environ | {"HOST": "127.0.0.1", "PORT": str(port)} | environment,
    )
    try:
        until(lambda: ask(f"http://127.0.0.1:{port}/"), what=f"{module} listens")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def ask(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body: of a GET, or of a POST where there is a body to send."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
