"""State of the world: each response for listeners and clusters is the whole list, for other types what changed."""

from __future__ import annotations

from typing import ClassVar

from xds_server.xds.channel import Channel, Outstanding
from xds_server.xds.messages import SotwRequest, SotwResponse
from xds_server.xds.resource_set import ResourceSet
from xds_server.xds.stream import Stream
from xds_server.xds.subscription import Subscription, sotw_subscription
from xds_server.xds.type_url import CLUSTER, ENDPOINT, LISTENER, ROUTE

_WHOLE = frozenset({CLUSTER, LISTENER})
"""Types for which a resource left out of a response is a resource removed (xDS spec)."""


class SotwStream(Stream[SotwRequest, SotwResponse]):
    """One StreamAggregatedResources stream, or one of a single type; see `Stream`."""

    remembers: ClassVar[frozenset[str]] = frozenset({CLUSTER, ENDPOINT})

    def _open(self, channel: Channel, request: SotwRequest) -> None:
        channel.subscribe(sotw_subscription(None, channel.url, request.names))
        channel.due = channel.subscription.names
        channel.answer = True
        channel.claim = request.version or None
        if request.version and channel.url == ROUTE:
            # It holds some of them, in versions that it does not tell.
            channel.unknown |= channel.subscription.names

    def _follow(self, channel: Channel, request: SotwRequest) -> None:
        # "the server should not send a response for a stale nonce": the next ACK names the same resources.
        if request.nonce != channel.sent_nonce and (request.nonce or channel.outstanding):
            return
        before = channel.subscription
        after = sotw_subscription(before, channel.url, request.names)
        if after is before:
            return
        channel.due |= _added(before, after, channel)
        channel.answer |= after.wildcard and not before.wildcard
        channel.subscribe(after)

    def _resolve(self, channel: Channel, wanted: ResourceSet) -> None:
        """A peer that has everything is not told again, unless a refused response left something unknown."""
        pure_wildcard = channel.subscription.wildcard and not channel.subscription.names
        if channel.url in _WHOLE and pure_wildcard and channel.claim == wanted.version:
            channel.settle(wanted, frozenset())
            channel.acked_version = wanted.version

    def _response(
        self, channel: Channel, target: ResourceSet, payload: ResourceSet, removed: frozenset[str]
    ) -> tuple[Outstanding, SotwResponse] | None:
        whole = channel.url in _WHOLE
        if whole and channel.refused:
            return None
        if whole:
            # A list takes away all that is not in it, said or not.
            removed |= channel.unknown - target.names
        if not payload and not (whole and (removed or channel.answer)):
            channel.settle(target, removed)
            return None
        content = target if whole else payload
        response = SotwResponse(channel.url, content.version, self._next_nonce(), content.resources)
        return Outstanding(response.nonce, response.version, payload, removed, content, whole), response


def _added(before: Subscription, after: Subscription, channel: Channel) -> frozenset[str]:
    """Names to answer for: new ones, unless the wildcard has brought them already."""
    added = after.names - before.names
    return added - channel.sent.names if before.wildcard else added
