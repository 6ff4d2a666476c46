"""The traces of late, in memory and within bounds: the oldest are forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from xds_server.telemetry.span import Span, Trace

MOST_SPANS = 20_000
"""Kept at one time: about 20 MB, and at most some 100 MB."""
MOST_OF_ONE = 1_000
"""Spans kept of one trace."""


class Traces:
    """What was received, by trace. Not for two threads at once."""

    def __init__(self, most_spans: int = MOST_SPANS, most_of_one: int = MOST_OF_ONE) -> None:
        self._most = most_spans
        self._most_of_one = most_of_one
        self._kept: OrderedDict[str, dict[str, Span]] = OrderedDict()
        self._count = 0
        self.received = 0
        """Spans since the start, forgotten ones included."""

    def add(self, spans: Iterable[Span]) -> None:
        """Take in spans; one that was sent again, because its sender saw no answer, counts once."""
        for span in spans:
            self.received += 1
            own = self._kept.setdefault(span.trace_id, {})
            self._kept.move_to_end(span.trace_id)
            if span.span_id not in own and len(own) < self._most_of_one:
                own[span.span_id] = span
                self._count += 1
        while self._count > self._most:
            _, gone = self._kept.popitem(last=False)
            self._count -= len(gone)

    def latest(self, most: int, *, service: str = "", failed: bool = False) -> list[Trace]:
        """Traces, the latest first: those in which `service` has a part, those that failed."""
        found = []
        for trace_id in reversed(self._kept):
            trace = self._trace(trace_id)
            if (not service or service in trace.services) and (trace.failed or not failed):
                found.append(trace)
            if len(found) == most:
                break
        return found

    def of(self, trace_id: str) -> Trace | None:
        """The trace of that id."""
        return self._trace(trace_id) if trace_id in self._kept else None

    def __len__(self) -> int:
        return self._count

    def _trace(self, trace_id: str) -> Trace:
        spans = sorted(self._kept[trace_id].values(), key=lambda span: (span.start, -span.end))
        return Trace(trace_id, tuple(spans))
