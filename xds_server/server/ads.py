"""One xDS stream over gRPC: read, feed the machine, write what it says.

All decisions of the protocol are taken in `xds.sotw` and `xds.delta`; here are the two tasks that move bytes. The
reader never waits for a write: a peer that stops reading must not stop its own ACKs from being heard (grpc-go #5393
and others deadlocked there). What can pile up is one snapshot and a bounded number of answers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import grpc
import structlog

from xds_server.errors import ProtocolViolation
from xds_server.server import wire
from xds_server.server.hub import Hub, Peer, Proxy
from xds_server.server.peer import peer_of
from xds_server.server.secret_audit import SecretAudit
from xds_server.server.stall import StallWatch
from xds_server.server.status import StatusBoard, StreamRecord
from xds_server.server.tls import is_current
from xds_server.server.tombstones import Holder, TombstoneBook
from xds_server.xds.channel import TypeStatus
from xds_server.xds.delta import DeltaStream
from xds_server.xds.messages import Acked, DeltaRequest, DeltaResponse, Nacked, Node, SotwRequest, SotwResponse
from xds_server.xds.proxy_status import Variant
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.sotw import SotwStream
from xds_server.xds.type_url import SECRET

log = structlog.get_logger(__name__)

Authenticate = Callable[[Peer], str]
"""The principal behind a peer, asked before a byte of it is read; raises ProtocolViolation to turn it away."""

Admit = Callable[[Proxy], None]
"""Whether a peer may be the node that it says it is, asked before anything is kept of it; raises ProtocolViolation to
turn it away."""

_MOST_UNSENT = 1000
"""Answers that may wait for a peer that asks but does not read. Machines keep one in flight per type: more is abuse."""


class Machine(Holder, Protocol):
    """SotwStream and DeltaStream, seen from here."""

    def receive(self, request: Any, /) -> Sequence[SotwResponse | DeltaResponse | Acked | Nacked]:
        """What a request calls for; raises ProtocolViolation."""

    def offer(self, snapshot: Snapshot, /) -> Sequence[SotwResponse | DeltaResponse]:
        """What is due of a snapshot now."""

    def status(self) -> Mapping[str, TypeStatus]:
        """By type URL."""


class AdsService:
    """Serves every method of `wire.METHODS`; one per server.

    Args:
        hub: where streams get their snapshots.
        board: where they report.
        authenticate: see `Authenticate`.
        admit: see `Admit`.
        stall_limit: seconds for which a write may wait for a peer that neither reads nor acknowledges anything.
        gate: make before break, see `xds.rollout`; without it everything is sent at once.
        push_order: of types, in which one change leaves.
        tombstones: what is known of nodes that were connected before.
    """

    def __init__(
        self,
        hub: Hub,
        board: StatusBoard,
        *,
        authenticate: Authenticate,
        admit: Admit,
        stall_limit: float,
        gate: bool,
        push_order: Sequence[str],
        tombstones: TombstoneBook,
    ) -> None:
        self.hub = hub
        self.board = board
        self.bodies = wire.Bodies()
        self.tombstones = tombstones
        self.stall_limit = stall_limit
        self.gate = gate
        self.push_order = push_order
        self.admit = admit
        self._authenticate = authenticate

    async def serve(self, method: wire.Method, call: Any) -> None:
        """Serve one call until it ends; `call` is a grpc.aio.ServicerContext."""
        peer = peer_of(call)
        try:
            await self._serve(method, call, peer)
        except ProtocolViolation as violation:
            # Sending a whole fleet away for now is our doing and no news; what a peer did wrong is.
            level = log.debug if violation.status == "UNAVAILABLE" else log.info
            level("stream refused", peer=peer.address, status=violation.status, reason=str(violation))
            await self._abort(call, violation.status, str(violation))
        except Exception:
            log.exception("stream failed", peer=peer.address, method=method.path)
            await self._abort(call, "INTERNAL", "internal error")
        except asyncio.CancelledError:
            self.board.ended("CANCELLED")
            raise
        else:
            self.board.ended("OK")

    def principal_of(self, call: Any, peer: Peer | None = None) -> str:
        """See `Authenticate`.

        Raises:
            ProtocolViolation: it is to be turned away.
        """
        if not is_current(call.auth_context()):
            raise ProtocolViolation("UNAUTHENTICATED", "TLS 1.3 is needed here")
        return self._authenticate(peer or peer_of(call))

    async def _serve(self, method: wire.Method, call: Any, peer: Peer) -> None:
        principal = self.principal_of(call, peer)
        if not self.hub.is_ready:
            # An empty answer to a wildcard would delete the peer's whole mesh (Istio #25495, Contour #1280).
            raise ProtocolViolation("UNAVAILABLE", "the first load has not finished; try again")
        stream = AdsStream(self, method, call)
        first = await stream.read()
        if first is not None:
            await stream.run(first, peer, principal)

    async def _abort(self, call: Any, status: str, text: str) -> None:
        self.board.ended(status)
        with suppress(grpc.aio.InternalError):  # the peer has left already
            await call.abort(grpc.StatusCode[status], text)


class AdsStream:
    """One stream that has sent its first request: a `hub.Stream`."""

    proxy: Proxy
    _machine: Machine
    _secrets: SecretAudit
    _record: StreamRecord
    _writer: asyncio.Task[None]

    def __init__(self, service: AdsService, method: wire.Method, call: Any) -> None:
        self._service = service
        self._method = method
        self._call = call
        self._unsent: deque[SotwResponse | DeltaResponse] = deque()
        self._pending: Snapshot | None = None
        self._refusal: ProtocolViolation | None = None
        self._wake = asyncio.Event()
        self._stall = StallWatch(service.stall_limit, self._stalled, asyncio.get_running_loop())

    async def read(self) -> SotwRequest | DeltaRequest | None:
        """The next request; None when the peer has left.

        Raises:
            ProtocolViolation: it sent something else.
        """
        data = await self._call.read()
        if data is grpc.aio.EOF:
            return None
        return wire.sotw_request(data) if self._method.variant is Variant.SOTW else wire.delta_request(data)

    async def run(self, first: SotwRequest | DeltaRequest, peer: Peer, principal: str) -> None:
        """Serve until the peer leaves.

        Raises:
            ProtocolViolation: the peer broke the protocol, stalled, or must go for now.
        """
        node = first.node or Node("")
        self.proxy = Proxy(node, peer, principal, _is_warm(first))
        self._service.admit(self.proxy)
        self._secrets = SecretAudit(self.proxy)
        self._machine = _machine(self._method, self._service, node.id)
        # Nothing is due before there is a snapshot; what the machine refuses never joins.
        self._take(first)
        with self._registered():
            await self._move()

    @contextmanager
    def _registered(self) -> Iterator[None]:
        service, node_id = self._service, self.proxy.node.id
        self._record = service.board.open(self.proxy, self._method.variant, self._machine.status)
        service.tombstones.opened(node_id, self._machine)
        service.hub.join(self)
        try:
            yield
        finally:
            service.hub.leave(self)
            service.tombstones.closed(node_id, self._machine)
            service.board.close(self._record)

    def offer(self, snapshot: Snapshot) -> None:
        """See `hub.Stream`."""
        self._pending = snapshot
        self._due()

    def refuse(self, reason: ProtocolViolation) -> None:
        """See `hub.Stream`. A write that is under way ends first: gRPC cannot send a status while one does."""
        self._refusal = reason
        self._wake.set()

    async def _move(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._writer = tasks.create_task(self._write_all())
                while (request := await self.read()) is not None:
                    self._take(request)
                self._writer.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._stall.close()

    def _take(self, request: SotwRequest | DeltaRequest) -> None:
        """Let the machine answer a request."""
        for event in self._machine.receive(request):
            match event:
                case Acked():
                    self._acked(event)
                case Nacked():
                    self._nacked(event)
                case _:
                    self._unsent.append(event)
        if len(self._unsent) > _MOST_UNSENT:
            raise ProtocolViolation("RESOURCE_EXHAUSTED", "too many requests whose answers are not read")
        self._service.board.requests += 1
        if SECRET in {request.type_url, self._method.type_url}:
            self._secrets.asked(request.names if isinstance(request, SotwRequest) else request.subscribe)
        if self._unsent:
            self._due()

    def _due(self) -> None:
        self._record.is_due = True
        self._wake.set()

    def _acked(self, acked: Acked) -> None:
        self._record.acked(acked)
        self._stall.alive()
        self._service.tombstones.acked(self.proxy.node.id, self._machine, acked.type_url)

    def _nacked(self, nacked: Nacked) -> None:
        refusal = self._record.nacked(nacked)
        log.warning(
            "response refused by proxy",
            node_id=self.proxy.node.id,
            type_url=refusal.type_url,
            nonce=refusal.nonce,
            reason=refusal.message,
            resources=refusal.names,
            origins=[str(origin) for origin in refusal.origins],
        )
        self._stall.alive()
        self._service.tombstones.nacked(self.proxy.node.id)

    def _stalled(self) -> None:
        self.refuse(ProtocolViolation("DEADLINE_EXCEEDED", "the peer has stopped reading"))
        self._writer.cancel()

    async def _write_all(self) -> None:
        # gRPC fails a write to a peer that has just left; the reader hears of that too, and ends the stream.
        with suppress(grpc.aio.InternalError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                while (response := self._next()) is not None:
                    await self._write(response)
                self._record.is_due = False

    def _next(self) -> SotwResponse | DeltaResponse | None:
        """What to write now. A snapshot is looked at only when nothing waits, so that the last one wins."""
        if self._refusal is not None:
            raise self._refusal
        if not self._unsent and self._pending is not None:
            snapshot, self._pending = self._pending, None
            self._secrets.served(snapshot)
            self._unsent.extend(self._machine.offer(snapshot))
        return self._unsent.popleft() if self._unsent else None

    async def _write(self, response: SotwResponse | DeltaResponse) -> None:
        body = self._service.bodies.of(response)
        # Before the write: the peer's answer may be read before this task is resumed.
        self._record.sent(response, len(body))
        self._stall.begin()
        try:
            await self._call.write(body)
        except asyncio.CancelledError:
            if self._refusal is not None:
                raise self._refusal from None
            raise
        finally:
            self._stall.end()


def _machine(method: wire.Method, service: AdsService, node_id: str) -> Machine:
    types = (method.type_url,) if method.type_url else None
    kind = SotwStream if method.variant is Variant.SOTW else DeltaStream
    book = service.tombstones
    return kind(
        gate=service.gate,
        order=service.push_order,
        types=types,
        tombstones=book.of(node_id),
        held=book.held_by(node_id),
    )


def _is_warm(first: SotwRequest | DeltaRequest) -> bool:
    """Whether a stream's first request tells of resources that the peer already has."""
    return bool(first.version if isinstance(first, SotwRequest) else first.initial_versions)
