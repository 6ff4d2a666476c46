"""What both protocol variants share: who speaks, whose turn it is, and what is due.

Every change of state of a stream goes through `receive` or `offer`, and each ends with the same question: which types
have no response outstanding, and what would bring their peer to the target of `rollout.py`? So a snapshot that arrives
while a response is outstanding waits, and only the newest is sent.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Generic, TypeVar

from xds_server.errors import ProtocolViolation
from xds_server.xds import rollout
from xds_server.xds.channel import NO_NAMES, Channel, Outstanding, TypeStatus
from xds_server.xds.diff import diff
from xds_server.xds.messages import Acked, DeltaRequest, DeltaResponse, Nacked, SotwRequest, SotwResponse
from xds_server.xds.resource_set import EMPTY, ResourceSet
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import CLUSTER, ENDPOINT, PUSH_ORDER

Request = TypeVar("Request", bound=SotwRequest | DeltaRequest)
Response = TypeVar("Response", bound=SotwResponse | DeltaResponse)

Tombstones = Mapping[str, frozenset[str]]
"""By type URL, names that a node may hold without saying so when it reconnects: see `Stream.tombstones`."""

NO_TOMBSTONES: Tombstones = {}

Held = Mapping[str, ResourceSet]
"""By type URL, what a node held when its last stream ended: see `Stream.held`."""

NOTHING_HELD: Held = {}

_MOST_NAMES = 100_000
"""Of one type that a peer may ask for or come with: several times those of the largest mesh that one Envoy can take."""


class Stream(abc.ABC, Generic[Request, Response]):
    """One stream of either variant, for all types that it carries; synchronous, does no I/O.

    Args:
        nonce_prefix: what every nonce starts with; the rest counts up from 1.
        gate: hold routes back until their clusters are acked, and clusters until no route names them.
        order: of types, in which one change leaves.
        types: the types that the service carries; None for the aggregated service. With exactly one, requests may
            leave their type out.
        tombstones: those of the same node's last stream.
        held: what that stream left the node with.
    """

    remembers: ClassVar[frozenset[str]]
    """Types of which the node's next stream must be told what is held, since the node does not say it itself."""

    def __init__(
        self,
        *,
        nonce_prefix: str = "",
        gate: bool = True,
        order: Sequence[str] = PUSH_ORDER,
        types: Collection[str] | None = None,
        tombstones: Tombstones = NO_TOMBSTONES,
        held: Held = NOTHING_HELD,
    ) -> None:
        self._nonce_prefix = nonce_prefix
        self._nonces = 0
        # With one type alone nothing is known of what it refers to, and nothing waits.
        self._gate = gate and (types is None or len(types) > 1)
        self._types = types
        self._order = order
        self._tombstones = tombstones
        self._held = {url: held.get(url, EMPTY) for url in self.remembers}
        self._node_id = ""
        self._snapshot: Snapshot | None = None
        self._channels: dict[str, Channel] = {}

    def receive(self, request: Request) -> Sequence[Response | Acked | Nacked]:
        """Take in one request; gives back what it meant for the last response, then all that is due now, in order.

        Raises:
            ProtocolViolation: the stream must be closed with the status that it names.
        """
        url = self._admitted(request)
        if url is None:
            return []
        channel = self._channels.get(url)
        if channel is None:
            channel = self._channels[url] = Channel(url, unknown=self._tombstones.get(url, NO_NAMES))
            self._open(channel, request)
            _check_size(channel)
            channel.unknown = channel.subscription.covered(channel.unknown)
            # A peer that names no version holds nothing: it is not the one that left, it was started anew.
            remembered = self._held.get(url, EMPTY) if channel.claim else EMPTY
            channel.remembered = remembered.selection(channel.subscription.covered(remembered.names))
            return self._due()
        settled = self._settled(channel, request)
        before = channel.subscription
        self._follow(channel, request)
        if channel.subscription is not before:
            _check_size(channel)
        return [*settled, *self._due()]

    def offer(self, snapshot: Snapshot) -> Sequence[Response]:
        """Take in a newer snapshot, or the first; gives back what is due now, in order."""
        self._snapshot = snapshot
        return self._due()

    def status(self) -> dict[str, TypeStatus]:
        """What is known about each type that the peer has asked for, by type URL."""
        return {url: channel.status() for url, channel in self._channels.items()}

    @property
    def tombstones(self) -> Tombstones:
        """Names to hand to the node's next stream, in case this one ends now.

        After a response that the node refused in part, or whose answer was lost, the node may hold resources that it
        does not list in `initial_resource_versions`. Its next stream must send or remove them: a resource deleted in
        between would otherwise be served for ever.
        """
        left = {url: _uncertain(channel) for url, channel in self._channels.items()}
        return {url: names for url, names in {**self._tombstones, **left}.items() if names}

    @property
    def doubts(self) -> Tombstones:
        """`tombstones` without those of responses that are on their way: most of them are accepted in a moment."""
        left = {url: _unknown(channel) for url, channel in self._channels.items()}
        return {url: names for url, names in {**self._tombstones, **left}.items() if names}

    @property
    def held(self) -> Held:
        """What the node is left with, of the types whose next stream must know it, in case this one ends now.

        It names what may still be in use and is gone from the snapshot by the time the node is back.
        """
        seen = {url: channel for url, channel in self._channels.items() if url in self.remembers}
        found = {**self._held, **{url: channel.sent or channel.remembered for url, channel in seen.items()}}
        return {url: resources for url, resources in found.items() if resources}

    def _admitted(self, request: Request) -> str | None:
        """Type URL of a request to act on, None for one to ignore."""
        url = request.type_url or self._only_type()
        first = not self._node_id
        if request.node is not None and request.node.id:
            self._node_id = self._node_id or request.node.id
            if request.node.id != self._node_id:
                raise ProtocolViolation("PERMISSION_DENIED", f"node id changed from {self._node_id!r} mid-stream")
        if not self._node_id:
            raise ProtocolViolation("INVALID_ARGUMENT", "the first request of a stream must carry a node with an id")
        if first and not url:
            raise ProtocolViolation("INVALID_ARGUMENT", "the first request of a stream must carry a type_url")
        if url and self._types is not None and url not in self._types:
            raise ProtocolViolation("INVALID_ARGUMENT", f"this service does not carry {url}")
        # Envoy itself sends an empty type_url when it is sent a type that it did not ask for.
        return url if url in PUSH_ORDER else None

    def _only_type(self) -> str:
        types = self._types or ()
        return next(iter(types)) if len(types) == 1 else ""

    def _settled(self, channel: Channel, request: Request) -> list[Acked | Nacked]:
        """Apply an ACK or NACK; an error_detail alone makes the difference (xDS spec), never the version."""
        response = channel.outstanding
        if response is None or request.nonce != response.nonce:
            return []
        if request.error is None:
            channel.ack(response)
            return [Acked(channel.url, response.nonce)]
        channel.nack(response, request.error)
        return [Nacked(channel.url, response.nonce, request.error, response.content.resources)]

    @abc.abstractmethod
    def _open(self, channel: Channel, request: Request) -> None:
        """Apply the first request of a type; its nonce, if any, is another stream's."""

    @abc.abstractmethod
    def _follow(self, channel: Channel, request: Request) -> None:
        """Apply what a later request says about the subscription."""

    @abc.abstractmethod
    def _resolve(self, channel: Channel, wanted: ResourceSet) -> None:
        """Compare what the first request claimed to hold with what it should hold."""

    @abc.abstractmethod
    def _response(
        self, channel: Channel, target: ResourceSet, payload: ResourceSet, removed: frozenset[str]
    ) -> tuple[Outstanding, Response] | None:
        """How to tell the peer that it lacks `payload` and must drop `removed`; None if that needs no words."""

    def _next_nonce(self) -> str:
        self._nonces += 1
        return f"{self._nonce_prefix}{self._nonces}"

    def _due(self) -> list[Response]:
        """All that is to be said now, in order; a thousand streams are here at once when one change is pushed."""
        snapshot, said = self._snapshot, list[Response]()
        if snapshot is None:
            return said
        for channel in self._channels.values():
            if channel.claim is not None:
                self._resolve(channel, rollout.wanted_now(snapshot, channel.url, channel.subscription))
                channel.claim = None
        moved = [self._advance(found, snapshot, said) for url in self._order if (found := self._channels.get(url))]
        # Once more clusters: some may leave now if listeners and routes turned out to need no words. A list without
        # them may bring others, and those their endpoints.
        if any(moved) and (clusters := self._channels.get(CLUSTER)):
            moved_again = self._advance(clusters, snapshot, said)
            if moved_again and (endpoints := self._channels.get(ENDPOINT)):
                self._advance(endpoints, snapshot, said)
        return said

    def _advance(self, channel: Channel, snapshot: Snapshot, said: list[Response]) -> bool:
        """Move the peer towards its target of one type; gives back whether there was anything to do."""
        if channel.outstanding is not None:
            return False
        wanted = rollout.wanted_now(snapshot, channel.url, channel.subscription)
        if _is_settled(channel, wanted):
            return False
        target = rollout.target(snapshot, channel.url, self._channels, gate=self._gate)
        channel.refused = target.refused
        channel.answer |= target.probe
        change = diff(channel.sent, target.resources)
        payload, removed = change.changed, change.removed
        mentioned = _mentioned(channel, target)
        if mentioned:
            if not mentioned <= payload.names:
                payload = target.resources.selection(payload.names | mentioned)
            removed |= mentioned - target.resources.names
        found = self._response(channel, target.resources, payload, removed)
        if found is None:
            return True
        outstanding, response = found
        channel.send(outstanding, target.resources)
        if channel.url == CLUSTER:
            self._follow_with_endpoints(payload)
        said.append(response)
        return True

    def _follow_with_endpoints(self, clusters: ResourceSet) -> None:
        """Owe the peer the endpoints of clusters just sent: Envoy does not ask, and warms them for 15 s without."""
        endpoints = self._channels.get(ENDPOINT)
        if endpoints is not None:
            endpoints.due |= endpoints.subscription.covered(clusters.needs(ENDPOINT))


def _check_size(channel: Channel) -> None:
    claimed = channel.claim if isinstance(channel.claim, Mapping) else ()
    if max(len(channel.subscription.names), len(claimed)) > _MOST_NAMES:
        raise ProtocolViolation("RESOURCE_EXHAUSTED", f"more than {_MOST_NAMES} names of {channel.url}")


def _is_settled(channel: Channel, wanted: ResourceSet) -> bool:
    """Whether the peer holds all that it asked for and nothing is owed to it, seen without working out a target."""
    if channel.sent is not wanted or channel.due or channel.unknown or channel.refused or channel.answer:
        return False
    names = channel.subscription.names
    return not names or names is wanted.names


def _mentioned(channel: Channel, target: rollout.Target) -> frozenset[str]:
    """Names that the next response must settle even where nothing about them changed."""
    unknown = channel.unknown
    if not unknown and not channel.due:
        return NO_NAMES
    for response in target.refused:
        unknown -= response.names
    return (channel.due | unknown) - target.waiting


def _uncertain(channel: Channel) -> frozenset[str]:
    """Names under which the peer may hold something unawares; only a wildcard leaves it with what it did not name."""
    unknown, outstanding = _unknown(channel), channel.outstanding
    return unknown | outstanding.names if outstanding and channel.subscription.wildcard else unknown


def _unknown(channel: Channel) -> frozenset[str]:
    return channel.unknown if channel.subscription.wildcard else NO_NAMES
