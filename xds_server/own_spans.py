"""Wires `telemetry/change.py` to the clock, to the proxies' answers and to a collector: this server's own spans.

Without a collector every call here does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar

from xds_server import __version__
from xds_server.pipeline import Generation
from xds_server.problem import Severity
from xds_server.server.export import SpanExporter
from xds_server.settings import Endpoint
from xds_server.store.debounce import Changed
from xds_server.telemetry.change import SERVICE, Answer, ChangeTrace

_MOST_FILES = 10
"""Named in one trace."""
_LOADING: ContextVar[ChangeTrace | None] = ContextVar("loading", default=None)
"""In the task that loads policies; any other task's steps are of the change whose answers are awaited."""


class OwnSpans:
    """The change that is being loaded, and the one that waits for proxies' answers: at most one of each.

    Args:
        endpoint: of the collector; None for none.
        answers: what proxies made of the responses that left since a time, in seconds since the epoch.

    Attributes:
        exporter: None where there is no collector.
    """

    def __init__(self, endpoint: Endpoint | None, answers: Callable[[float], Iterable[Answer]]) -> None:
        self.exporter = _exporter(endpoint) if endpoint is not None else None
        self._answers = answers
        self._awaited: ChangeTrace | None = None

    def begin(self, noticed: float, changed: Changed) -> None:
        """A change is taken up by the calling task; it was noticed at `noticed`, in seconds since the epoch."""
        if self.exporter is not None:
            files = sorted(os.fsencode(path).decode(errors="replace") for path in changed or ())
            trace = ChangeTrace(noticed, os.urandom, (("xds.files", ", ".join(files[:_MOST_FILES])),))
            trace.step("debounce", noticed, time.time())
            _LOADING.set(trace)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """A step of the change that the calling task loads, or else of the one whose answers are awaited."""
        trace = _LOADING.get() or self._awaited
        start, failed = time.time(), True
        try:
            yield
            failed = False
        finally:
            if trace is not None:
                trace.step(name, start, time.time(), failed=failed)

    def nothing_changed(self) -> None:
        """What was taken up means what is in force: there is nothing to tell."""
        _LOADING.set(None)

    def failed(self) -> None:
        """What was taken up cannot come into force, by a defect of ours."""
        if self.exporter is not None and (trace := _LOADING.get()) is not None:
            self.exporter.offer(trace.ended("failed"))
        _LOADING.set(None)

    def published(self, generation: Generation) -> None:
        """What was taken up is in force."""
        if (trace := _LOADING.get()) is not None:
            errors = sum(problem.severity is Severity.ERROR for problem in generation.problems)
            self._end("superseded")
            trace.published(time.time(), (
                ("xds.generation", generation.number),
                ("xds.documents", len(generation.policies.documents)),
                ("xds.errors", errors),
            ))  # fmt: skip
            self._awaited = trace
        _LOADING.set(None)

    def settled(self) -> None:
        """Every proxy has what is in force and has answered."""
        self._end("settled")

    async def run(self) -> None:
        """Send what there is to tell, until cancelled."""
        await (self.exporter.run() if self.exporter else asyncio.Event().wait())

    def stopped(self) -> None:
        """The server stops: nobody is waited for any longer."""
        self._end("stopped")

    def _end(self, outcome: str) -> None:
        if self.exporter is not None and (trace := self._awaited) is not None:
            since = trace.published_at or 0
            self.exporter.offer(trace.ended(outcome, self._answers(since)))
        self._awaited = None


def _exporter(endpoint: Endpoint) -> SpanExporter:
    resource = {"service.name": SERVICE, "service.version": __version__}
    return SpanExporter(str(endpoint.address), is_tls=endpoint.is_tls, resource=resource)
