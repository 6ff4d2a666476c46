"""What every connected proxy was sent and what it answered, with secrets taken out of what it said.

Streams report here as things happen, which costs them a few attributes; the values that the debug endpoints show
(`xds.proxy_status`) are made when somebody looks.
"""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from xds_server.problem import Origin
from xds_server.server.hub import Proxy
from xds_server.telemetry.change import Answer
from xds_server.xds import type_url
from xds_server.xds.channel import TypeStatus
from xds_server.xds.messages import Acked, DeltaResponse, Nacked, SotwResponse
from xds_server.xds.proxy_status import ProxyStatus, TypeState, Variant
from xds_server.xds.resource import Resource

Clock = Callable[[], float]
"""Seconds since the epoch."""
OnRefusal = Callable[[Proxy, Nacked, "Refusal"], None]
"""Told of each NACK, as it came and as it may be shown."""

_PEM = re.compile(r"-----BEGIN [^-]*-----.*?(-----END [^-]*-----|\Z)", re.DOTALL)
_INLINE = re.compile(r'(inline_bytes|inline_string)(\\?["\s:]+)(?:\\.|[^"\\])*')
_VALUE = re.compile(r'\b((?:raw_)?value|backend_token)(\\?"?\s*:\s*\\?")(?:\\.|[^"\\])*')
"""Of headers, and what SkyWalking knows its clients by: what stands there is often a token."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{48,}={0,2}")
_LONGEST_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Refusal:
    """One NACK, fit to be shown: who must be told, and why, without what must not be told.

    Attributes:
        message: the peer's text after `redacted`.
        names: the refused resources: those that the text names, or all of the response when it names none.
        origins: the policy documents that these were made from.
        is_named: whether the text names any of them.
        taken_ago: seconds since the peer was sent what it had in force of this type; None unless its answer before
            this one was an ACK: what it refuses again is nothing that it newly refuses.
    """

    type_url: str
    nonce: str
    message: str
    names: tuple[str, ...]
    origins: tuple[Origin, ...]
    is_named: bool = True
    taken_ago: float | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """Counted since the server started, over all streams; mappings are by type URL.

    Attributes:
        open: streams that are connected now.
        opened: streams that ever connected.
        ended: streams that ended, by name of the gRPC status; "OK" when the peer left.
        requests: read; an ACK is one too.
        sent_bytes: response bodies handed to gRPC.
    """

    open: int
    opened: int
    ended: Mapping[str, int]
    requests: int
    pushes: Mapping[str, int]
    acks: Mapping[str, int]
    nacks: Mapping[str, int]
    sent_bytes: int


def refusal(nacked: Nacked, taken_ago: float | None = None) -> Refusal:
    """What may be kept, logged and shown of a NACK; for `taken_ago` see `Refusal`."""
    named = _named(nacked)
    blamed = named or nacked.resources
    return Refusal(
        type_url=nacked.type_url,
        nonce=nacked.nonce,
        message=redacted(nacked.type_url, nacked.error.message),
        names=tuple(resource.name for resource in blamed),
        origins=tuple(sorted({origin for resource in blamed for origin in resource.origins})),
        is_named=bool(named),
        taken_ago=taken_ago,
    )


def redacted(url: str, text: str) -> str:
    """A peer's text without key material.

    Envoy's NACK of an invalid Secret quotes the whole Secret, private key included, so nothing of it is kept. From
    the text about any other type, which may quote a whole listener, go PEM blocks, inline data sources, values of
    headers, and anything that looks like base64.
    """
    if url == type_url.SECRET:
        return "the proxy refused the secret (its text is withheld: it may quote a private key)"
    text = _PEM.sub("[redacted PEM]", text)
    text = _INLINE.sub(r"\1\2[redacted]", text)
    text = _VALUE.sub(r"\1\2[redacted]", text)
    text = _BASE64.sub("[redacted]", text)
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


@dataclass(slots=True)
class _TypeRecord:
    """One type on one stream, as it happens; times in seconds since the epoch, 0 for never."""

    sent_nonce: str = ""
    sent_version: str = ""
    sent_at: float = 0
    answered_nonce: str = ""
    acked_nonce: str = ""
    acked_version: str = ""
    acked_at: float = 0
    answered_at: float = 0
    taken_at: float = 0
    refusal: Refusal | None = None
    pushes: int = 0
    acks: int = 0
    nacks: int = 0

    def taken_ago(self, now: float) -> float | None:
        """See `Refusal.taken_ago`."""
        return now - self.taken_at if self.taken_at and self.answered_nonce == self.acked_nonce else None


@dataclass(slots=True, eq=False)
class StreamRecord:
    """The book of one stream; made by `StatusBoard.open`, written to by its stream only.

    Attributes:
        machine: what the stream's machine knows now, by type URL.
        is_due: whether something waits to be written.
    """

    proxy: Proxy
    variant: Variant
    machine: Callable[[], Mapping[str, TypeStatus]]
    board: StatusBoard
    opened_at: float
    types: defaultdict[str, _TypeRecord] = field(default_factory=lambda: defaultdict(_TypeRecord))
    is_due: bool = False

    def sent(self, response: SotwResponse | DeltaResponse, size: int) -> None:
        """A response of `size` bytes is being written."""
        record = self.types[response.type_url]
        record.sent_nonce, record.sent_version, record.sent_at = response.nonce, response.version, self.board.clock()
        record.pushes += 1
        self.board.pushes[response.type_url] += 1
        self.board.sent_bytes += size

    def acked(self, acked: Acked) -> None:
        """The peer took a response whole."""
        record = self.types[acked.type_url]
        if acked.nonce == record.sent_nonce:
            record.acked_version, record.taken_at = record.sent_version, record.sent_at
        record.answered_nonce = record.acked_nonce = acked.nonce
        record.acked_at = record.answered_at = self.board.clock()
        record.refusal = None
        record.acks += 1
        self.board.last_answer = record.acked_at
        self.board.acks[acked.type_url] += 1

    def nacked(self, nacked: Nacked) -> Refusal:
        """The peer refused a response; gives back what may be told of it."""
        record = self.types[nacked.type_url]
        self.board.last_answer = record.answered_at = now = self.board.clock()
        record.answered_nonce, record.refusal = nacked.nonce, refusal(nacked, record.taken_ago(now))
        record.nacks += 1
        self.board.nacks[nacked.type_url] += 1
        self.board.on_refusal(self.proxy, nacked, record.refusal)
        return record.refusal

    @property
    def is_settled(self) -> bool:
        """Whether nothing is due to the peer, and it has answered all that it was sent."""
        return not self.is_due and all(record.answered_nonce == record.sent_nonce for record in self.types.values())

    def has_taken(self, url: str) -> bool:
        """Whether nothing is due to the peer, and it took the latest that it was sent of one type."""
        record = self.types.get(url)
        return not self.is_due and (record is None or record.sent_nonce == record.acked_nonce)

    def sent_at(self, url: str) -> float:
        """When a response of that type last left, in seconds since the epoch; 0 for never."""
        return self.types[url].sent_at if url in self.types else 0

    def refusal(self, url: str) -> Refusal | None:
        """Why the peer refused the latest of that type that it has answered; None when it did not."""
        return self.types[url].refusal if url in self.types else None

    def status(self) -> ProxyStatus:
        """The stream as the debug endpoints show it."""
        node = self.proxy.node
        told = self.machine()
        return ProxyStatus(
            node_id=node.id,
            cluster=node.cluster,
            namespace=self.board.namespace_of(self.proxy),
            peer=self.proxy.peer.address,
            variant=self.variant,
            connected_at=_time(self.opened_at),
            types={
                url: _type_state(self.types.get(url, _TypeRecord()), told.get(url))
                for url in sorted(told.keys() | self.types.keys())
            },
            user_agent=node.user_agent,
        )


class StatusBoard:
    """All streams' records, and totals that outlive them.

    Args:
        namespace_of: the workload's namespace of a connected proxy.
        on_refusal: see `OnRefusal`.
        clock: seconds since the epoch.

    Attributes:
        last_answer: when a stream last took or refused something, by `clock`; 0 before the first.
        requests: read so far, over all streams.
    """

    def __init__(
        self,
        *,
        namespace_of: Callable[[Proxy], str] = lambda _: "",
        on_refusal: OnRefusal = lambda *_: None,
        clock: Clock = time.time,
    ) -> None:
        self.namespace_of = namespace_of
        self.on_refusal = on_refusal
        self.clock = clock
        self.pushes: Counter[str] = Counter()
        self.acks: Counter[str] = Counter()
        self.nacks: Counter[str] = Counter()
        self.sent_bytes = 0
        self.last_answer = 0.0
        self.requests = 0
        self._ended: Counter[str] = Counter()
        self._opened = 0
        self._open: dict[StreamRecord, None] = {}

    def open(self, proxy: Proxy, variant: Variant, machine: Callable[[], Mapping[str, TypeStatus]]) -> StreamRecord:
        """The record of a stream that has named its node.

        Args:
            proxy: who is at its other end.
            variant: the variant it speaks.
            machine: asked when somebody looks: what the stream's machine knows, by type URL.
        """
        record = StreamRecord(proxy, variant, machine, self, self.clock())
        self._open[record] = None
        self._opened += 1
        return record

    def close(self, record: StreamRecord) -> None:
        """Its stream ended."""
        del self._open[record]

    def ended(self, status: str) -> None:
        """A call ended with this gRPC status, whether or not it came as far as having a record."""
        self._ended[status] += 1

    def streams(self) -> tuple[StreamRecord, ...]:
        """The record of every connected stream, by node id and then by the time it connected."""
        return tuple(sorted(self._open, key=lambda record: (record.proxy.node.id, record.opened_at)))

    def proxies(self) -> tuple[ProxyStatus, ...]:
        """Every connected stream, in the order of `streams`."""
        return tuple(record.status() for record in self.streams())

    @property
    def is_settled(self) -> bool:
        """Whether every connected stream has answered all that it was sent."""
        return all(record.is_settled for record in self._open)

    def waiting_for(self, url: str) -> tuple[str, ...]:
        """Node ids of the streams that have not yet taken all there is for them of one type."""
        return tuple(sorted({record.proxy.node.id for record in self._open if not record.has_taken(url)}))

    def answers(self, since: float) -> Iterator[Answer]:
        """What every connected stream made of the latest response of each type, of those that left since then."""
        now = self.clock()
        for record in self._open:
            node_id = record.proxy.node.id
            for url, kind in record.types.items():
                if kind.sent_at < since:
                    continue
                if kind.answered_nonce != kind.sent_nonce:
                    outcome, answered_at = "unanswered", now
                else:
                    outcome, answered_at = "refused" if kind.refusal else "taken", kind.answered_at
                yield Answer(node_id, type_url.SHORT_NAMES.get(url, url), outcome, kind.sent_at, answered_at)

    def totals(self) -> Totals:
        """Counts since the server started."""
        return Totals(
            open=len(self._open),
            opened=self._opened,
            ended=dict(self._ended),
            requests=self.requests,
            pushes=dict(self.pushes),
            acks=dict(self.acks),
            nacks=dict(self.nacks),
            sent_bytes=self.sent_bytes,
        )


def _named(nacked: Nacked) -> tuple[Resource, ...]:
    """Envoy names what it refused ("Error adding/updating cluster(s) NAME: ...") unless decoding failed as a whole."""
    return tuple(resource for resource in nacked.resources if _mentions(nacked.error.message, resource.name))


def _mentions(text: str, name: str) -> bool:
    return name in text and re.search(rf"(?<![\w.|-]){re.escape(name)}(?![\w.|-])", text) is not None


def _type_state(record: _TypeRecord, told: TypeStatus | None) -> TypeState:
    refused = record.refusal
    return TypeState(
        sent_nonce=record.sent_nonce,
        sent_version=record.sent_version,
        sent_at=_time(record.sent_at) if record.sent_at else None,
        acked_nonce=record.acked_nonce,
        acked_version=record.acked_version or (told.acked_version if told else ""),
        acked_at=_time(record.acked_at) if record.acked_at else None,
        last_error=refused.message if refused else "",
        refused=refused.names if refused else (),
        origins=refused.origins if refused else (),
        subscribed=len(told.names) if told else 0,
        wildcard=told is not None and told.wildcard,
        pushes=record.pushes,
        acks=record.acks,
        nacks=record.nacks,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
