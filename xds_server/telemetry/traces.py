"""The traces of late, in memory and within bounds: the oldest are forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

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

    def kept(self) -> KeptTraces:
        """All of them as they are now, for another thread to look through; that takes long, this does not."""
        return KeptTraces(tuple((trace_id, tuple(own.values())) for trace_id, own in reversed(self._kept.items())))

    def of(self, trace_id: str) -> Trace | None:
        """The trace of that id."""
        return _trace(trace_id, self._kept[trace_id].values()) if trace_id in self._kept else None

    def __len__(self) -> int:
        return self._count


@dataclass(frozen=True, slots=True)
class KeptTraces:
    """Spans by trace, the latest trace first."""

    spans: tuple[tuple[str, tuple[Span, ...]], ...]

    def latest(self, most: int, *, service: str = "", failed: bool = False) -> list[Trace]:
        """Traces, the latest first: those in which `service` has a part, those that failed."""
        traces = (_trace(trace_id, own) for trace_id, own in self.spans)
        asked = (each for each in traces if (not service or each.concerns(service)) and (each.failed or not failed))
        return list(islice(asked, most))


def _trace(trace_id: str, spans: Iterable[Span]) -> Trace:
    return Trace(trace_id, tuple(sorted(spans, key=lambda span: (span.start, -span.end))))
