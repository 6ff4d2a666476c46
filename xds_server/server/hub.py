"""Gives every connected stream its snapshot of the latest generation.

How a change arrives: app.py compiles a generation and calls `publish`; the hub asks for the snapshots of the connected
proxies in batches, newest generation only, and hands each stream its own, where the last one wins. A stream that joins
later is resolved the same way. Which proxies share a view, and so a snapshot, is decided by whoever answers: a stream
that is handed the snapshot it already has is not woken.

It knows neither gRPC nor what a generation is made of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

import structlog

from xds_server.errors import ProtocolViolation
from xds_server.xds.messages import Node
from xds_server.xds.snapshot import Snapshot

log = structlog.get_logger(__name__)

_BATCH = 64
"""Proxies resolved in one call: enough to make the hop to a worker thread cheap, few enough that none waits long."""

_DRAIN_STEP = 0.1
"""Seconds between two steps of a drain, in each of which one stream ends, or more where there are many."""


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """What is known of a peer before it says a word.

    Attributes:
        address: as gRPC writes it ("ipv4:127.0.0.1:51234", "unix:").
        metadata: the call's headers, for tokens; never logged.
        certificate_names: subject alternative names of the client certificate, () without one.
        certificate: the client certificate itself in PEM, its chain verified by gRPC; b"" without one.
    """

    address: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    certificate_names: tuple[str, ...] = ()
    certificate: bytes = b""

    @property
    def ip(self) -> str:
        """Its IP address; "" when it calls by a Unix socket."""
        kind, _, rest = unquote(self.address).partition(":")
        return rest.rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else ""


@dataclass(frozen=True, slots=True, eq=False)
class Proxy:
    """One connected stream's other end.

    Attributes:
        node: what it says it is, from the first request; pinned for the stream's life.
        principal: who it proved to be, "" where nobody need prove anything.
        is_warm: it holds resources of an earlier stream.
    """

    node: Node
    peer: Peer
    principal: str = ""
    is_warm: bool = False


class Guest(Protocol):
    """A stream that is given nothing, and ends when the streams of its proxy must; the call does not block."""

    @property
    def proxy(self) -> Proxy:
        """Who is at the other end."""

    def refuse(self, reason: ProtocolViolation) -> None:
        """End, with the status that `reason` names."""


class Stream(Guest, Protocol):
    """What the hub needs of a stream; neither call blocks."""

    def offer(self, snapshot: Snapshot) -> None:
        """Send what is due of this snapshot as soon as may be; it replaces one that still waits."""


SnapshotsFor = Callable[[Sequence[Proxy]], Awaitable[Sequence[Snapshot | None]]]
"""The snapshots of these proxies by the generation now in force, in their order; None for one that cannot be served
yet: a warm one keeps what it has until it is asked for again, any other is sent away. It may raise: the streams
concerned keep what they have. Heavy work belongs in a worker thread."""


def _ignore(_: Proxy) -> None:
    """The default of a callback."""


class Hub:
    """The latest generation's snapshots, dealt out to streams.

    Args:
        snapshots_for: see `SnapshotsFor`.
        connected: called when a stream has named its node, before anything is sent on it.
        disconnected: called when such a stream has ended.
        sleep: how to wait for some seconds.
    """

    def __init__(
        self,
        snapshots_for: SnapshotsFor,
        *,
        connected: Callable[[Proxy], None] = _ignore,
        disconnected: Callable[[Proxy], None] = _ignore,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._snapshots_for = snapshots_for
        self._connected = connected
        self._disconnected = disconnected
        self._sleep = sleep
        self._generation = 0
        self._streams: dict[Stream, Snapshot | None] = {}
        self._waiting: dict[Stream, None] = {}
        self._guests: dict[Guest, None] = {}
        self._resolving = False
        self._wake = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Whether a first generation was published. Before that no stream is accepted."""
        return self._generation > 0

    @property
    def is_idle(self) -> bool:
        """Whether every stream was offered its snapshot of the latest generation."""
        return not self._waiting and not self._resolving

    def publish(self, generation: int) -> None:
        """Say that this generation is in force: every stream is given its snapshot of it, those that wait first.

        Args:
            generation: its number, above that of every generation published before, from 1.
        """
        self._generation = generation
        self._waiting |= dict.fromkeys(self._streams)
        self._wake.set()

    def proxies(self) -> tuple[Proxy, ...]:
        """Who is connected, one per stream, oldest first."""
        return tuple(stream.proxy for stream in self._streams)

    def join(self, stream: Stream) -> None:
        """Take up a stream; its first `offer` follows, or its `refuse`."""
        self._streams[stream] = None
        self._waiting[stream] = None
        self._wake.set()
        self._connected(stream.proxy)

    def leave(self, stream: Stream) -> None:
        """Forget a stream that joined."""
        del self._streams[stream]
        self._waiting.pop(stream, None)
        self._disconnected(stream.proxy)

    def host(self, guest: Guest) -> None:
        """Take up a guest."""
        self._guests[guest] = None

    def dismiss(self, guest: Guest) -> None:
        """Forget a guest whose stream has ended."""
        del self._guests[guest]

    def refresh(self, concerned: Callable[[Proxy], bool]) -> None:
        """Ask again for the snapshots of these proxies, in the generation that is in force."""
        self._waiting |= {stream: None for stream in self._streams if concerned(stream.proxy)}
        self._wake.set()

    def refuse(self, concerned: Callable[[Proxy], bool], reason: ProtocolViolation) -> None:
        """End the streams of these proxies."""
        for stream in (*self._streams, *self._guests):
            if concerned(stream.proxy):
                stream.refuse(reason)

    def refuse_all(self, reason: ProtocolViolation) -> None:
        """End every stream: the server is going away."""
        self.refuse(lambda _: True, reason)

    async def drain(self, seconds: float, reason: ProtocolViolation) -> None:
        """End every stream, spread over `seconds` at most, so that the next server is not asked by all at once.

        Those that are still open go on getting what is published. Guests end first: they come back to the next server
        when they have something to say.
        """
        for guest in tuple(self._guests):
            guest.refuse(reason)
        streams = tuple(self._streams)
        steps = max(1, min(len(streams), int(seconds / _DRAIN_STEP)))
        for step in range(steps):
            if step:
                await self._sleep(_DRAIN_STEP)
            for stream in streams[step::steps]:
                if stream in self._streams:
                    stream.refuse(reason)

    async def run(self) -> None:
        """Resolve streams until cancelled; app.py runs this once, for the server's life."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._resolve(tuple(self._waiting)[:_BATCH])

    async def _resolve(self, streams: Sequence[Stream]) -> None:
        """Settle these streams. One whose generation is overtaken meanwhile waits again: `publish` put it back."""
        for stream in streams:
            del self._waiting[stream]
        self._resolving = True
        for stream, snapshot in zip(streams, await self._snapshots(streams), strict=True):
            if stream in self._streams:
                self._deal(stream, snapshot)
        self._resolving = False

    async def _snapshots(self, streams: Sequence[Stream]) -> Sequence[Snapshot | None]:
        """Their snapshots. A batch that fails is asked for one by one: a bad view costs only its own proxies."""
        try:
            return await self._snapshots_for([stream.proxy for stream in streams])
        except Exception as failure:
            if len(streams) > 1:
                return [(await self._snapshots([stream]))[0] for stream in streams]
            log.exception("no snapshot", node_id=streams[0].proxy.node.id, error=str(failure))
            return [None]

    def _deal(self, stream: Stream, snapshot: Snapshot | None) -> None:
        held = self._streams[stream]
        if snapshot is None:
            if held is None and not stream.proxy.is_warm:
                stream.refuse(ProtocolViolation("UNAVAILABLE", "nothing to serve to this node yet"))
        elif snapshot is not held:
            self._streams[stream] = snapshot
            stream.offer(snapshot)
