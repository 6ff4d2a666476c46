"""Versions of incremental responses; what is said when is in `tests/scenarios/delta`."""

from __future__ import annotations

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
