"""Who is connected, whom that registers, and what it is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from xds_server.mesh.workload import Workload
from xds_server.registry.registrar import Registrar
from xds_server.roster import Roster, peer_name
from xds_server.server.hub import Peer, Proxy
from xds_server.xds.messages import NackDetail, Nacked, Node
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import CLUSTER

GROUP = {"AUTO_REGISTER_GROUP": "web", "NAMESPACE": "shop"}
OLD, NEW = (Resource(CLUSTER, "c", version, b"") for version in "12")


def proxy(node_id: str = "web-1", principal: str = "", *, ip: str = "10.0.0.7", **metadata: object) -> Proxy:
    return Proxy(Node(node_id, metadata=metadata), Peer(f"ipv4:{ip}:40000"), principal)


def refusal(*resources: Resource) -> Nacked:
    return Nacked(CLUSTER, "1", NackDetail(3, "no"), resources)


@pytest.fixture
def registrar(tmp_path: Path) -> Registrar:
    return Registrar(5, tmp_path / "registrations.json", changed=lambda: None, clock=lambda: 0.0)


@pytest.fixture
def roster(registrar: Registrar) -> Roster:
    return Roster("default", registrar, lambda _, claimed: claimed)


def test_a_workload_is_what_its_proxy_proved_of_what_it_claims(registrar: Registrar) -> None:
    def proved(_: Proxy, claimed: Workload) -> Workload:
        return replace(claimed, namespace="proved")

    assert Roster("default", registrar, proved).workload(proxy(NAMESPACE="claimed")).namespace == "proved"


def test_a_peer_goes_by_what_it_proved_to_be() -> None:
    assert [peer_name(proxy(principal=who)) for who in ("spiffe://mesh/web", "")] == ["spiffe://mesh/web", "web-1"]


def test_a_peer_is_there_as_long_as_one_of_its_streams(roster: Roster) -> None:
    one, other = proxy(), proxy()
    for stream in (one, other):
        roster.connected(stream)
    roster.disconnected(one)
    assert set(roster.peers) == {"web-1"}
    roster.disconnected(other)
    assert not roster.peers


def test_what_a_node_was_given_is_forgotten_with_its_last_stream(roster: Roster) -> None:
    one, other, snapshot = proxy(), proxy(), Snapshot.of([NEW])
    for stream in (one, other):
        roster.connected(stream)
    roster.gave(one, snapshot)
    roster.disconnected(one)
    assert roster.given("web-1") is snapshot
    roster.disconnected(other)
    assert roster.given("web-1") is None


def test_what_is_ready_too_late_for_a_node_that_left_is_not_remembered(roster: Roster) -> None:
    gone = proxy()
    roster.connected(gone)
    roster.disconnected(gone)
    roster.gave(gone, Snapshot.of([NEW]))

    assert roster.given("web-1") is None


def test_a_refusal_counts_while_any_of_it_is_given(roster: Roster) -> None:
    stream = proxy()
    assert not roster.still_given(stream, refusal(NEW))
    roster.connected(stream)
    roster.gave(stream, Snapshot.of([NEW]))

    assert roster.still_given(stream, refusal(NEW, OLD))
    assert not roster.still_given(stream, refusal(OLD))


def test_a_proxy_of_a_group_registers_from_where_it_calls(roster: Roster, registrar: Registrar) -> None:
    """Under an account only where it has proved to be anybody: what it says alone is not one."""
    roster.connected(proxy("web-1", SERVICE_ACCOUNT="said", **GROUP))
    roster.connected(proxy("web-2", principal="spiffe://mesh/ns/shop/sa/web", SERVICE_ACCOUNT="web", **GROUP))

    found = {(one.namespace, one.group, one.address, one.service_account) for one in registrar.registrations}
    assert found == {("shop", "web", "10.0.0.7", ""), ("shop", "web", "10.0.0.7", "web")}


def test_a_proxy_that_says_it_is_about_to_go_is_drained(roster: Roster, registrar: Registrar) -> None:
    goes, stays = proxy("web-1", **GROUP), proxy("web-2", ip="10.0.0.8", **GROUP)
    for stream in (goes, stays):
        roster.connected(stream)
    assert [one.draining for one in registrar.registrations] == [False, False]

    roster.says(goes, False)

    assert [one.draining for one in registrar.registrations] == [True, False]
