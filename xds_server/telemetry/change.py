"""A change of the policies as a trace: from the first notice of it until every proxy that it concerns has answered.

    policy change
    ├─ debounce    until it was quiet
    ├─ read        the files
    ├─ compile     once more for each document that is kept out, and so are the next two
    ├─ translate
    ├─ validate    Envoy in validate mode
    └─ push        until the last response left
       └─ ack      one for each proxy and type

Makes spans, and knows neither a clock nor where spans go. Names of spans and tags are an interface: envoy/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from xds_server.telemetry.span import Span, SpanKind, Tag

SERVICE = "xds-server"
MOST_STEPS = 64
"""Of one change, before it is published: halving finds a bad document in fewer."""
MOST_ANSWERS = 64
"""Of one change: those that took longest, and those that are no good first."""


class Answer(NamedTuple):
    """What a proxy made of a response; times are seconds since the epoch. A tuple, for there may be thousands at once.

    Attributes:
        kind: the type's short name, such as CDS.
        outcome: "taken", "refused" or "unanswered".
        answered: now, where it is not.
    """

    node_id: str
    kind: str
    outcome: str
    sent: float
    answered: float


class ChangeTrace:
    """One change on its way.

    Args:
        noticed: when it was noticed, in seconds since the epoch, as are all times here.
        random: so many random bytes, for ids.
        tags: of the root.
    """

    def __init__(self, noticed: float, random: Callable[[int], bytes], tags: tuple[Tag, ...] = ()) -> None:
        self._random = random
        self._tags = tags
        self._root = self._span("policy change", noticed, noticed, parent="", trace_id=random(16).hex())
        self._steps: list[Span] = []
        self._published: float | None = None

    @property
    def published_at(self) -> float | None:
        """When it came into force; None while it has not."""
        return self._published

    def step(self, name: str, start: float, end: float, *, failed: bool = False) -> None:
        """A step of it has ended."""
        if len(self._steps) < MOST_STEPS:
            self._steps.append(self._span(name, start, end, failed=failed))

    def published(self, at: float, tags: tuple[Tag, ...] = ()) -> None:
        """It came into force, and goes out to proxies from now on; `tags` are the root's too."""
        self._published = at
        self._tags += tags

    def ended(self, outcome: str, answers: Iterable[Answer] = ()) -> list[Span]:
        """The whole trace, its root first.

        Args:
            outcome: "settled", "superseded" by a later change, "failed", or "stopped" with the server.
            answers: of proxies to what they were sent since it was published.
        """
        answered = sorted(answers, key=lambda one: (one.outcome == "taken", one.sent - one.answered))
        below = [*self._steps, *self._pushed(answered)]
        root = replace(
            self._root,
            end=max(span.end for span in (self._root, *below)),
            failed=outcome == "failed" or any(one.outcome == "refused" for one in answered),
            tags=(("xds.outcome", outcome), *self._tags, ("xds.answers", len(answered))),
        )
        return [root, *below]

    def _pushed(self, answers: list[Answer]) -> Iterator[Span]:
        if self._published is None or not answers:
            return
        push = self._span("push", self._published, max(one.sent for one in answers))
        yield push
        for one in answers[:MOST_ANSWERS]:
            tags = (("xds.node.id", one.node_id), ("xds.type", one.kind), ("xds.outcome", one.outcome))
            failed = one.outcome == "refused"
            yield self._span("ack", one.sent, one.answered, parent=push.span_id, failed=failed, tags=tags)

    def _span(
        self,
        name: str,
        start: float,
        end: float,
        *,
        parent: str | None = None,
        trace_id: str | None = None,
        failed: bool = False,
        tags: tuple[Tag, ...] = (),
    ) -> Span:
        return Span(
            trace_id=self._root.trace_id if trace_id is None else trace_id,
            span_id=self._random(8).hex(),
            parent_id=self._root.span_id if parent is None else parent,
            name=name,
            service=SERVICE,
            kind=SpanKind.INTERNAL,
            start=int(start * 1e9),
            end=int(max(start, end) * 1e9),
            failed=failed,
            tags=tags,
        )
