"""Versions of state-of-the-world responses; what is said when is in `tests/scenarios/sotw`."""

from __future__ import annotations

from tests.xds.made import resource, snapshot
from xds_server.xds.messages import Node, SotwRequest, SotwResponse
from xds_server.xds.sotw import SotwStream
from xds_server.xds.type_url import CLUSTER, ENDPOINT

NODE = Node("n")


def first_response(*versions: str) -> SotwResponse:
    """What a new stream gets for clusters a, b, ... of these versions."""
    stream = SotwStream()
    stream.offer(snapshot(*(resource(CLUSTER, name, v) for name, v in zip("abc", versions, strict=False))))
    [response] = stream.receive(SotwRequest(CLUSTER, node=NODE))
    assert isinstance(response, SotwResponse)
    return response


def test_version_is_the_content_and_survives_a_restart() -> None:
    """Two servers, or one before and after a restart, agree."""
    assert first_response("1", "2").version == first_response("1", "2").version
    assert first_response("1", "2").version != first_response("1", "3").version


def test_version_of_endpoints_is_that_of_what_was_sent() -> None:
    """Not of the snapshot: a change elsewhere is no new version of these."""
    one, other = SotwStream(), SotwStream()
    one.offer(snapshot(resource(ENDPOINT, "a"), resource(ENDPOINT, "b")))
    other.offer(snapshot(resource(ENDPOINT, "a"), resource(ENDPOINT, "b", "2")))

    [first] = one.receive(SotwRequest(ENDPOINT, ("a",), node=NODE))
    [second] = other.receive(SotwRequest(ENDPOINT, ("a",), node=NODE))
    assert isinstance(first, SotwResponse)
    assert isinstance(second, SotwResponse)
    assert first.version == second.version
