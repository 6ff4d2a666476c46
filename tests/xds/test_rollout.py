"""What a peer should hold next; each test is one clause of make before break."""

from __future__ import annotations

from tests.xds.made import resource, snapshot
from xds_server.xds import rollout
from xds_server.xds.channel import Channel, Outstanding
from xds_server.xds.resource_set import EMPTY, ResourceSet
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.subscription import LEGACY, Subscription
from xds_server.xds.type_url import CLUSTER, LISTENER, ROUTE

OLD = snapshot(resource(CLUSTER, "c1"), resource(ROUTE, "r", "1", "c1"), resource(LISTENER, "l", "1", "r"))
NEW = snapshot(resource(CLUSTER, "c2"), resource(ROUTE, "r", "2", "c2"), resource(LISTENER, "l", "1", "r"))


def channels(held: Snapshot, *urls: str) -> dict[str, Channel]:
    """A peer that holds all of a snapshot, of the types it follows."""
    found = {}
    for url in urls or (CLUSTER, LISTENER, ROUTE):
        resources = held.set_of(url)
        subscription = Subscription(resources.names) if url == ROUTE else LEGACY
        found[url] = Channel(url, subscription, resources, resources)
    return found


def versions(resources: ResourceSet) -> dict[str, str]:
    """Name to version."""
    return {found.name: found.version for found in resources.resources}


def test_leaving_cluster_stays_while_a_held_route_names_it() -> None:
    """Clusters of both snapshots come first."""
    target = rollout.target(NEW, CLUSTER, channels(OLD), gate=True)

    assert versions(target.resources) == {"c1": "1", "c2": "1"}


def test_leaving_cluster_goes_once_no_held_route_names_it() -> None:
    """The routes have been acked in their new form."""
    peer = channels(OLD)
    peer[ROUTE].acked = peer[ROUTE].sent = NEW.set_of(ROUTE)

    target = rollout.target(NEW, CLUSTER, peer, gate=True)

    assert versions(target.resources) == {"c2": "1"}


def test_cluster_of_a_draining_listener_goes() -> None:
    """Its routes are never replaced, so waiting for that would keep a deleted service for ever."""
    peer = channels(OLD)
    peer[LISTENER].acked = peer[LISTENER].sent = EMPTY

    target = rollout.target(snapshot(), CLUSTER, peer, gate=True)

    assert versions(target.resources) == {}


def test_held_route_stays_until_its_new_cluster_is_acked() -> None:
    """An ACK of clusters means that they are warm."""
    peer = channels(OLD)

    assert versions(rollout.target(NEW, ROUTE, peer, gate=True).resources) == {"r": "1"}
    peer[CLUSTER].acked = peer[CLUSTER].sent = NEW.set_of(CLUSTER)
    assert versions(rollout.target(NEW, ROUTE, peer, gate=True).resources) == {"r": "2"}


def test_first_route_waits_only_while_clusters_are_on_their_way() -> None:
    """Once they were answered, refused or not, routes are better than none."""
    peer = channels(OLD)
    peer[ROUTE].acked = peer[ROUTE].sent = EMPTY
    on_its_way = NEW.set_of(CLUSTER)
    peer[CLUSTER].outstanding = Outstanding("1", "", on_its_way, frozenset(), on_its_way, whole=False)

    assert rollout.target(NEW, ROUTE, peer, gate=True).waiting == {"r"}
    peer[CLUSTER].outstanding = None
    assert versions(rollout.target(NEW, ROUTE, peer, gate=True).resources) == {"r": "2"}


def test_nothing_waits_without_a_gate() -> None:
    """What make before break is compared with."""
    peer = channels(OLD)

    assert versions(rollout.target(NEW, CLUSTER, peer, gate=False).resources) == {"c2": "1"}
    assert versions(rollout.target(NEW, ROUTE, peer, gate=False).resources) == {"r": "2"}


def test_nothing_waits_for_clusters_that_were_not_asked_for() -> None:
    """A client of routes alone would wait for ever."""
    peer = channels(OLD, ROUTE)

    assert versions(rollout.target(NEW, ROUTE, peer, gate=True).resources) == {"r": "2"}


def test_refused_resource_stays_as_it_was_acked() -> None:
    """Other resources of its type go on."""
    peer = channels(OLD)
    bad = snapshot(resource(CLUSTER, "c1", "bad"), resource(CLUSTER, "new"))
    refused = bad.set_of(CLUSTER).selection(frozenset({"c1"}))
    peer[CLUSTER].refused = (Outstanding("1", "", refused, frozenset(), refused, whole=False),)

    target = rollout.target(bad, CLUSTER, peer, gate=True)

    assert versions(target.resources) == {"c1": "1", "new": "1"}
    assert target.refused == peer[CLUSTER].refused


def test_streams_in_one_state_share_the_target() -> None:
    """One computation and one tuple for all of them."""
    one, other = (rollout.target(NEW, CLUSTER, channels(OLD), gate=True) for _ in range(2))

    assert one.resources is other.resources


def test_leaving_cluster_stays_until_the_routes_that_came_with_the_peer_are_replaced() -> None:
    """Nobody here knows what they name."""
    peer = channels(OLD)
    peer[ROUTE].acked = peer[ROUTE].sent = EMPTY
    peer[ROUTE].unknown = frozenset({"r"})

    assert versions(rollout.target(NEW, CLUSTER, peer, gate=True).resources) == {"c1": "1", "c2": "1"}
    peer[ROUTE].unknown = frozenset()
    assert versions(rollout.target(NEW, CLUSTER, peer, gate=True).resources) == {"c2": "1"}


def test_cluster_that_only_the_peer_knows_is_not_spoken_of_meanwhile() -> None:
    """It cannot be said again, so it is neither sent nor removed."""
    peer = channels(NEW)
    peer[CLUSTER].unknown = peer[LISTENER].unknown = frozenset({"x"})

    assert rollout.target(NEW, CLUSTER, peer, gate=True).waiting == {"x"}
    peer[LISTENER].unknown = frozenset()
    assert rollout.target(NEW, CLUSTER, peer, gate=True).waiting == frozenset()


def test_peer_that_has_asked_for_clusters_alone_is_made_to_speak() -> None:
    """Its other requests come before its first ACK, if it makes any."""
    peer = channels(NEW, CLUSTER)
    peer[CLUSTER].unknown = frozenset({"x"})

    assert rollout.target(NEW, CLUSTER, peer, gate=True).probe
    peer[CLUSTER].acked_nonce = "1"
    assert not rollout.target(NEW, CLUSTER, peer, gate=True).probe
