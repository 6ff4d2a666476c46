"""Spans, and the tree that those of one trace make."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from xds_server.mesh.host import may_be_same
from xds_server.telemetry.grpc_status import name
from xds_server.telemetry.response_flags import in_words

_NO_FLAG = {"", "-"}
_GRPC_SAYS_NOTHING = {"", "-", "0"}


class SpanKind(enum.StrEnum):
    """On which side of a call the span was made."""

    UNSPECIFIED = "unspecified"
    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"
    PRODUCER = "producer"
    CONSUMER = "consumer"


Tag = tuple[str, str | int]


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times are nanoseconds since the epoch.

    Attributes:
        trace_id, span_id, parent_id: in hexadecimal; `parent_id` "" starts a trace.
        failed: its status is an error.
        tags: in the order in which they came.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    kind: SpanKind
    start: int
    end: int
    failed: bool = False
    tags: tuple[Tag, ...] = ()

    @property
    def status(self) -> str:
        """What was answered, as far as the tags say; "" where they do not."""
        said = dict(self.tags)
        names = ("http.status_code", "http.response.status_code", "grpc.status_code")
        return next((str(said[name]) for name in names if said.get(name)), "")

    @property
    def why(self) -> tuple[str, ...]:
        """What Envoy says of how it ended, in words: its response flags, and the status of gRPC unless that is OK."""
        said = dict(self.tags)
        code, message = str(said.get("grpc.status_code", "")), said.get("grpc.message", "")
        flags = str(said.get("response_flags", "")).split(",")
        grpc = [f"gRPC {name(code)}" + (f": {message}" if message else "")] if code not in _GRPC_SAYS_NOTHING else []
        return (*(in_words(flag) for flag in flags if flag not in _NO_FLAG), *grpc)


@dataclass(frozen=True, slots=True)
class Branch:
    """A span with those that it led to, the earliest first; `depth` is 0 at the top."""

    span: Span
    depth: int
    children: tuple[Branch, ...] = field(default=())

    def __iter__(self) -> Iterator[Branch]:
        yield self
        for child in self.children:
            yield from child


@dataclass(frozen=True, slots=True)
class Trace:
    """All known spans of one trace, the earliest first."""

    trace_id: str
    spans: tuple[Span, ...]

    @property
    def start(self) -> int:
        """When it began."""
        return self.spans[0].start

    @property
    def end(self) -> int:
        """When the last of its spans ended."""
        return max(span.end for span in self.spans)

    @property
    def failed(self) -> bool:
        """Whether any of its spans did."""
        return any(span.failed for span in self.spans)

    @property
    def services(self) -> tuple[str, ...]:
        """Each once, in the order in which they come in."""
        return tuple(dict.fromkeys(span.service for span in self.spans))

    def concerns(self, service: str) -> bool:
        """Whether `service`, in any spelling of its name, has a part in it."""
        return any(may_be_same(service, each) for each in self.services)

    def trees(self) -> tuple[Branch, ...]:
        """One, where every span's parent is known; a span whose parent is not stands at the top of a tree of its own.

        An application that does not send on the trace headers shows so: what it calls is another trace.
        """
        known = {span.span_id for span in self.spans}
        children: dict[str, list[Span]] = {}
        for span in self.spans:
            children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
        return tuple(_branches(children, "", 0, frozenset()))


def _branches(children: dict[str, list[Span]], parent: str, depth: int, above: frozenset[str]) -> Iterable[Branch]:
    """What hangs below `parent`; a span that is its own ancestor, which nobody's tracer makes, ends there."""
    for span in children.get(parent, ()):
        if span.span_id not in above and depth < _DEEPEST:
            path = above | {span.span_id}
            yield Branch(span, depth, tuple(_branches(children, span.span_id, depth + 1, path)))


_DEEPEST = 200
"""Spans above each other that are shown: a hostile sender could make as many as it likes."""
