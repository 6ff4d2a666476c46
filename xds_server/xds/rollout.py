"""What a stream's peer should hold of each type next, so that no request is dropped on the way to a new snapshot.

Pure functions of the new snapshot and of what the peer holds. The rule is make before break:

1. clusters come first, with those that leave still among them while a route or listener the peer may hold names them;
2. their endpoints come right behind (`sotw.py` and `delta.py` see to that): Envoy acks a cluster once it is warm;
3. listeners and routes that name a cluster wait until the peer has acked that cluster;
4. clusters leave once routes and listeners that no longer name them are acked.

A peer that comes back may hold routes that nobody here has seen, of a snapshot long gone, which name clusters that are
gone as well. So clusters that leave stay, all of them, until its listeners and routes are known: until then what it
claims to hold and we do not have is neither removed nor replaced by something empty.

Nothing waits for what cannot come: not for a type that the stream did not ask for, nor, with a route that the peer
does not have in any form, for clusters that it has refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from xds_server.xds.absent import absent
from xds_server.xds.channel import NO_NAMES, Channel, Outstanding
from xds_server.xds.diff import diff
from xds_server.xds.resource import Resource
from xds_server.xds.resource_set import ResourceSet
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.subscription import Subscription
from xds_server.xds.type_url import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET

Channels = Mapping[str, Channel]
"""By type URL; the types that a stream has asked for."""

_NAMED_BY = {ENDPOINT: (CLUSTER,), ROUTE: (LISTENER,), SECRET: (CLUSTER, LISTENER)}
"""A peer asks for resources of the first type because one of the others names them."""

_GATED = frozenset({LISTENER, ROUTE})
"""Types that name clusters, and so wait for them."""

_WITH_STAND_INS = frozenset({ENDPOINT, ROUTE})
"""Types of which a name that does not exist is never removed, see `absent.py`."""

_NOTHING: Mapping[str, Resource | None] = {}


class Target(NamedTuple):
    """The next state of one type; a tuple for its price, see `messages.py`.

    Attributes:
        resources: what the peer should hold after the next response.
        waiting: names that nothing must be said about yet; they are not in `resources` and are not removed either.
        refused: earlier responses whose content would only be repeated; what they held is left as the peer acked it.
        probe: names wait until it is known what else the peer asks for: a response is due even if it says nothing,
            for its ACK comes after all that a peer asks for when it connects.
    """

    resources: ResourceSet
    waiting: frozenset[str] = NO_NAMES
    refused: tuple[Outstanding, ...] = ()
    probe: bool = False


def target(snapshot: Snapshot, url: str, channels: Channels, *, gate: bool) -> Target:
    """What the peer should hold of type `url` next; `gate` off sends everything at once, whatever it refers to."""
    channel = channels[url]
    wanted = wanted_now(snapshot, url, channel.subscription)
    if not channel.subscription.names <= wanted.names:
        wanted = wanted.variant(_stand_ins(wanted, channel, channels))
    if gate and url == CLUSTER:
        return _target_of_clusters(wanted, snapshot, channels)
    held_back: dict[str, Resource | None] = {}
    if gate and url in _GATED:
        held_back = _held_back(wanted, snapshot, channel, channels)
    return _but_refused(wanted, channel, held_back, waiting=_left_alone(wanted, channel, channels))


def _target_of_clusters(wanted: ResourceSet, snapshot: Snapshot, channels: Channels) -> Target:
    """With those among them that leave, as long as a route or listener that the peer may hold names them."""
    clusters = channels[CLUSTER]
    leaving = diff(clusters.sent, wanted).removed
    if clusters.remembered or clusters.unknown:
        leaving |= diff(clusters.remembered, wanted).removed | (clusters.unknown - wanted.names)
    if not leaving:
        return _but_refused(wanted, clusters) if clusters.refused else Target(wanted)
    asked_for_all = _has_asked_for_all(channels)
    if asked_for_all and _is_known(snapshot, channels):
        leaving &= _clusters_of_listeners(channels) | _clusters_of_routes(snapshot, channels)
    known = {name: clusters.sent.get(name) or clusters.remembered.get(name) for name in leaving}
    kept = {name: resource for name, resource in known.items() if resource is not None}
    return _but_refused(wanted.variant(kept), clusters, waiting=leaving - kept.keys(), probe=not asked_for_all)


def _has_asked_for_all(channels: Channels) -> bool:
    """Whether the peer has asked for all types that it follows, as far as listeners and routes are concerned.

    Envoy asks for everything when it connects, clusters first, and for some while the rest may be on its way.
    """
    clusters = channels[CLUSTER]
    return bool(clusters.acked_nonce or clusters.error) or channels.keys() >= _GATED


def _is_known(snapshot: Snapshot, channels: Channels) -> bool:
    """Whether all listeners and routes that the peer may have in force are ones that this stream has seen."""
    listeners, routes = channels.get(LISTENER), channels.get(ROUTE)
    if listeners is not None and (listeners.unknown or not _has_settled(listeners)):
        return False
    if routes is None:
        return True
    unseen = routes.unknown if listeners is None else routes.unknown & _live_routes(snapshot, listeners)
    return not unseen and _has_settled(routes)


def _has_settled(channel: Channel) -> bool:
    """Whether the peer has accepted a response, or needed none."""
    return bool(channel.acked_nonce) or not (channel.answer or channel.outstanding or channel.refused)


def _but_refused(
    wanted: ResourceSet,
    channel: Channel,
    held_back: Mapping[str, Resource | None] = _NOTHING,
    *,
    waiting: frozenset[str] = NO_NAMES,
    probe: bool = False,
) -> Target:
    """A target that leaves what is held back, and what would only be refused again, as the peer has it."""
    if not held_back and not channel.refused:
        return Target(wanted, waiting, probe=probe)
    held_back = dict(held_back)
    refused = tuple(response for response in channel.refused if response.repeats(wanted))
    for response in refused:
        held_back |= {name: channel.acked.get(name) for name in response.names}
    waiting |= frozenset(name for name, resource in held_back.items() if resource is None) & wanted.names
    return Target(wanted.variant(held_back), waiting, refused, probe)


def wanted_now(snapshot: Snapshot, url: str, subscription: Subscription) -> ResourceSet:
    """What of `snapshot` the stream asked for, with no regard to what can be sent yet."""
    everything = snapshot.set_of(url)
    return everything if subscription.wildcard else everything.selection(subscription.names)


def _stand_ins(wanted: ResourceSet, channel: Channel, channels: Channels) -> dict[str, Resource | None]:
    """What to hold under names that were asked for and do not exist (any more).

    Nothing in a snapshot refers to what it does not hold, so a peer that follows the referring type will unsubscribe:
    at once from the endpoints of a removed cluster, after minutes from the routes of a removed listener, which drains.
    Until then it keeps what it has. Whoever has nothing gets the empty resource, if the type has one.
    """
    missing = channel.subscription.names - wanted.names
    if not _unsubscribes(channel, channels):
        return {name: absent(channel.url, name) for name in missing}
    kept = {name: channel.sent.get(name) or channel.remembered.get(name) for name in missing}
    claimed = channel.claimed
    return {name: held or (None if name in claimed else absent(channel.url, name)) for name, held in kept.items()}


def _left_alone(wanted: ResourceSet, channel: Channel, channels: Channels) -> frozenset[str]:
    """Names that do not exist any more, of which the peer keeps what it has, and nobody here knows what that is."""
    if channel.url not in _WITH_STAND_INS or not _unsubscribes(channel, channels):
        return NO_NAMES
    return (channel.claimed & channel.subscription.names) - wanted.names


def _unsubscribes(channel: Channel, channels: Channels) -> bool:
    """Whether the peer gives up by itself what nothing names any more."""
    return any(referrer in channels for referrer in _NAMED_BY.get(channel.url, ()))


def _may_hold(channel: Channel) -> Iterator[ResourceSet]:
    """Sets whose members the peer may have in force now or in a moment."""
    yield channel.acked
    yield channel.sent
    for response in channel.refused:
        yield response.payload


def _clusters_of_listeners(channels: Channels) -> frozenset[str]:
    listeners = channels.get(LISTENER)
    return NO_NAMES if listeners is None else _needs(listeners, CLUSTER)


def _clusters_of_routes(snapshot: Snapshot, channels: Channels) -> frozenset[str]:
    """Clusters that held routes name, other than the routes of listeners that drain: these are never replaced."""
    routes, listeners = channels.get(ROUTE), channels.get(LISTENER)
    if routes is None:
        return NO_NAMES
    if listeners is None:
        return _needs(routes, CLUSTER)
    live = _live_routes(snapshot, listeners)
    return frozenset().union(*(resources.selection(live).needs(CLUSTER) for resources in _may_hold(routes)))


def _live_routes(snapshot: Snapshot, listeners: Channel) -> frozenset[str]:
    return snapshot.set_of(ROUTE).names | _needs(listeners, ROUTE)


def _needs(channel: Channel, url: str) -> frozenset[str]:
    return frozenset().union(*(resources.needs(url) for resources in _may_hold(channel)))


def _held_back(
    wanted: ResourceSet, snapshot: Snapshot, channel: Channel, channels: Channels
) -> dict[str, Resource | None]:
    """Listeners or routes that must stay as they are, since they name clusters that the peer does not have yet."""
    clusters = channels.get(CLUSTER)
    changed = diff(channel.sent, wanted).changed
    if clusters is None or not changed:
        return {}
    pending = _pending(wanted_now(snapshot, CLUSTER, clusters.subscription), clusters)
    if pending.isdisjoint(changed.needs(CLUSTER)):
        return {}
    return {
        resource.name: channel.sent.get(resource.name)
        for resource in changed.resources
        if (clusters.outstanding or resource.name in channel.sent) and _names_any(resource, pending)
    }


def _pending(wanted: ResourceSet, clusters: Channel) -> frozenset[str]:
    """Clusters that are on their way, or refused: wanted, and not certain to be with the peer."""
    lacking = (diff(held, wanted).changed.names - held.names for held in (clusters.acked, clusters.sent))
    return frozenset().union(*lacking)


def _names_any(resource: Resource, clusters: frozenset[str]) -> bool:
    return any(url == CLUSTER and name in clusters for url, name in resource.refs)
