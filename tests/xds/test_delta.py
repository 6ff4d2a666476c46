"""Versions of incremental responses; what is said when is in `tests/scenarios/delta`."""

from __future__ import annotations

import pytest

from tests.xds.made import resource, snapshot
from xds_server.xds.delta import DeltaStream
from xds_server.xds.messages import DeltaRequest, DeltaResponse, Node
from xds_server.xds.type_url import CLUSTER

NODE = Node("n")


def test_system_version_is_that_of_the_snapshot() -> None:
    """It tells a reader of a log which state of the files Envoy was sent; the protocol gives it no meaning."""
    stream, offered = DeltaStream(), snapshot(resource(CLUSTER, "a"))
    stream.offer(offered)

    [response] = stream.receive(DeltaRequest(CLUSTER, node=NODE))
    assert isinstance(response, DeltaResponse)
    assert response.version == offered.version


def test_removed_names_are_sorted() -> None:
    """What will be encoded is the same on every run."""
    stream = DeltaStream(types=(CLUSTER,))
    stream.offer(snapshot())

    [response] = stream.receive(DeltaRequest(CLUSTER, initial_versions=dict.fromkeys("cab", "1"), node=NODE))
    assert isinstance(response, DeltaResponse)
    assert response.removed == ("a", "b", "c")


def test_what_a_peer_holds_already_is_taken_in_the_version_that_it_claims() -> None:
    stream, offered = DeltaStream(), snapshot(resource(CLUSTER, "a"))
    stream.offer(offered)

    assert stream.receive(DeltaRequest(CLUSTER, initial_versions={"a": "1"}, node=NODE)) == []
    assert stream.status()[CLUSTER].acked_version == offered.version


@pytest.mark.parametrize("claim", [{"a": "0"}, {"b": "1"}, {"a": "1", "b": "1"}], ids=["old", "other", "more"])
def test_what_a_peer_holds_otherwise_is_not_taken_before_it_says_so(claim: dict[str, str]) -> None:
    stream = DeltaStream()
    stream.offer(snapshot(resource(CLUSTER, "a")))
    stream.receive(DeltaRequest(CLUSTER, initial_versions=claim, node=NODE))

    assert stream.status()[CLUSTER].acked_version == ""
