"""Names of nodes, and what a node may say of itself once it proved one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.identity.material import NOW
from tests.mesh.test_identity import IDENTITIES, SEGMENTS
from xds_server.errors import UnusableIdentity
from xds_server.identity.principal import Principal, Proof, claim_checked, control_plane_uri, proved_workload
from xds_server.mesh.identity import SpiffeId, TrustDomain
from xds_server.mesh.workload import Workload
from xds_server.xds.messages import Node

WEB = Principal(SpiffeId("td", "shop", "robot"), "web-1")
WEB_ID = "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local"


@given(SEGMENTS)
def test_no_node_is_named_like_a_replica(name: str) -> None:
    with pytest.raises(ValueError, match="no name for a node"):
        Principal(WEB.identity, f"{name}@1")


@given(st.builds(Principal, IDENTITIES, SEGMENTS))
def test_principal_is_read_back_as_it_was_written(principal: Principal) -> None:
    assert Principal.parse(str(principal)) == principal


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://td/ns/shop/sa/robot",
        "spiffe://td/ns/shop/sa/robot/node/",
        "spiffe://td/ns/shop/sa/robot/node/a/b",
        "spiffe://td/ns/shop/sa/robot/node/a/node/b",
        control_plane_uri(TrustDomain("td")),
    ],
)
def test_workloads_and_the_control_plane_are_no_nodes(text: str) -> None:
    with pytest.raises(ValueError, match=r"no |names"):
        Principal.parse(text)


def test_node_may_say_what_it_proved_or_leave_it_out() -> None:
    claim_checked(WEB, Node(WEB_ID))
    claim_checked(WEB, Node("web-1.shop"))
    claim_checked(WEB, Node(WEB_ID, metadata={"NAME": "web-1", "NAMESPACE": "shop", "SERVICE_ACCOUNT": "robot"}))


@pytest.mark.parametrize("replica", ["a", "web-2", "host.lan", "web-2.bank", "b@c"])
def test_replicas_of_a_node_are_that_node(replica: str) -> None:
    """Whatever they call themselves behind the `@`, which no node's name can hold."""
    claim_checked(
        WEB, Node(f"sidecar~10.0.0.1~web-1@{replica}.shop~shop.svc.cluster.local", metadata={"NAME": "web-1"})
    )


@pytest.mark.parametrize(
    "node_id",
    [
        "sidecar~10.0.0.1~web-2@web-1.shop~shop.svc.cluster.local",
        "sidecar~10.0.0.1~web-1@a.bank~shop.svc.cluster.local",
        "sidecar~10.0.0.1~web-1.shop@a.bank~shop.svc.cluster.local",
        "sidecar~10.0.0.1~web-1@web-1~shop.svc.cluster.local",
        "sidecar~10.0.0.1~@web-1.shop~shop.svc.cluster.local",
        "sidecar~10.0.0.1~web-2.shop~shop.svc.cluster.local",
        "sidecar~10.0.0.1~web-1.bank~shop.svc.cluster.local",
        "web-1",
        "web-1.shop.shop",
        "",
        "a~b~web-1.shop",
    ],
)
def test_node_id_of_another_node_is_refused(node_id: str) -> None:
    with pytest.raises(UnusableIdentity, match="node id"):
        claim_checked(WEB, Node(node_id))


@pytest.mark.parametrize("key", ["NAME", "NAMESPACE", "SERVICE_ACCOUNT"])
@pytest.mark.parametrize("claim", ["other", "", 1.0, None])
def test_metadata_of_another_node_is_refused(key: str, claim: object) -> None:
    with pytest.raises(UnusableIdentity, match=key):
        claim_checked(WEB, Node(WEB_ID, metadata={key: claim}))


def test_workload_is_as_proved_whatever_it_says() -> None:
    claimed = Workload("other", "bank", labels=(("app", "web"),), service_account="vault")

    assert proved_workload(WEB, claimed) == Workload("web-1", "shop", labels=(("app", "web"),), service_account="robot")


def test_credential_ends_soon_when_a_fifth_of_its_life_is_left() -> None:
    proof = Proof(WEB, NOW, NOW + timedelta(days=10))

    assert not proof.ends_soon(NOW + timedelta(days=8))
    assert proof.ends_soon(NOW + timedelta(days=8, seconds=1))
