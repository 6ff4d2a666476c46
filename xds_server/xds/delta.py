"""Incremental xDS: each response carries what changed and names what is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from xds_server.xds.channel import Channel, Outstanding
from xds_server.xds.messages import DeltaRequest, DeltaResponse
from xds_server.xds.resource_set import ResourceSet
from xds_server.xds.stream import Stream
from xds_server.xds.subscription import WILDCARD, delta_subscription
from xds_server.xds.type_url import ENDPOINT


class DeltaStream(Stream[DeltaRequest, DeltaResponse]):
    """One DeltaAggregatedResources stream, or one of a single type; see `Stream`."""

    remembers: ClassVar[frozenset[str]] = frozenset({ENDPOINT})

    def _open(self, channel: Channel, request: DeltaRequest) -> None:
        channel.subscribe(delta_subscription(None, channel.url, request.subscribe, request.unsubscribe))
        channel.due = channel.subscription.names
        channel.answer = channel.subscription.wildcard and not request.initial_versions
        channel.claim = request.initial_versions or None

    def _follow(self, channel: Channel, request: DeltaRequest) -> None:
        """A subscription counts even beside a stale nonce, and what it names is sent even to a peer that holds it."""
        if not request.subscribe and not request.unsubscribe:
            return
        before = channel.subscription
        after = delta_subscription(before, channel.url, request.subscribe, request.unsubscribe)
        channel.due |= after.names & frozenset(request.subscribe)
        if after.wildcard:
            # "the server must respond with the resource or its removal": the peer cannot know whether it keeps it.
            channel.due |= before.names - after.names
        if WILDCARD in request.subscribe:
            channel.unknown |= channel.sent.names
            channel.answer = True
        if after != before:
            channel.subscribe(after)

    def _resolve(self, channel: Channel, wanted: ResourceSet) -> None:
        """What the peer holds in our version it need not get; all else that it names is sent or removed.

        A name with a tombstone stays unknown whatever the peer says: it may have taken it from a refused response.
        """
        claim = channel.claim if isinstance(channel.claim, Mapping) else {}
        held = frozenset(
            name for name, version in claim.items() if (resource := wanted.get(name)) and resource.version == version
        )
        channel.claimed = channel.subscription.covered(frozenset(claim)) - held
        channel.unknown |= channel.claimed
        channel.sent = channel.acked = wanted.selection(held)
        if self._snapshot and held == wanted.names and not channel.unknown:
            channel.acked_version = self._snapshot.version_of(channel.url)

    def _response(
        self, channel: Channel, target: ResourceSet, payload: ResourceSet, removed: frozenset[str]
    ) -> tuple[Outstanding, DeltaResponse] | None:
        if not payload and not removed and not channel.answer:
            channel.settle(target, removed)
            return None
        version = self._snapshot.version_of(channel.url) if self._snapshot else ""
        response = DeltaResponse(channel.url, version, self._next_nonce(), payload.resources, tuple(sorted(removed)))
        return Outstanding(response.nonce, version, payload, removed, payload, whole=False), response
