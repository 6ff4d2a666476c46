"""The demo's collector of spans as a process of its own, which writes down each span that it takes."""

from __future__ import annotations

import os
import re
import subprocess
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.envoy.running import until
from tests.patience import PATIENCE
from xds_server.demo.machine import is_open
from xds_server.demo.span_collector import collector_command, collector_environment, find_collector

_IDS = re.compile(r" +Trace ID +: (\w+)\n +Parent ID +: (\w*)\n +ID +: (\w+)\n")
_URL = re.compile(r"http\.url: Str\((.*)\)")


@dataclass(frozen=True)
class Taken:
    """A span that the collector took; `url` of the request that it is about."""

    trace_id: str
    parent_id: str
    span_id: str
    url: str


def spans_in_words(text: str) -> Iterator[Taken]:
    """The spans that a collector's log in detail tells of."""
    for told in re.split(r"Span #\d+\n", text):
        if ids := _IDS.match(told):
            url = _URL.search(told)
            yield Taken(ids[1], ids[2], ids[3], url[1] if url else "")


class Collector:
    """Takes spans by gRPC on `port`, and by HTTP on the next; passes them on to the port `onwards`."""

    def __init__(self, directory: Path, *, port: int, onwards: int) -> None:
        program = find_collector()
        if isinstance(program, str):
            pytest.skip(f"no collector here: {program}")
        self.port, self.onwards = port, onwards
        self._log = directory / "collector.log"
        self._command = [*collector_command(program, port=port, onwards=onwards), "--debug-log-verbosity", "detailed"]
        self.start()

    def start(self) -> None:
        """Start it, again if it was stopped, and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | collector_environment()
            )
        until(lambda: is_open(self.port), what=f"the collector listens, see {self._log}")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)

    def taken(self, path: str = "") -> dict[str, list[Taken]]:
        """Every span that it took since the first start, by trace; of requests whose path begins so."""
        found: dict[str, list[Taken]] = {}
        for span in spans_in_words(self._log.read_text()):
            if urllib.parse.urlsplit(span.url).path.startswith(path):
                found.setdefault(span.trace_id, []).append(span)
        return found
