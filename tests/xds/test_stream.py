"""What both variants share, beyond what scenarios can say: sharing, memory, tombstones."""

from __future__ import annotations

import pytest

from tests.xds.made import resource, snapshot
from xds_server.errors import ProtocolViolation
from xds_server.xds.delta import DeltaStream
from xds_server.xds.messages import Acked, DeltaRequest, DeltaResponse, NackDetail, Nacked, Node, SotwRequest
from xds_server.xds.sotw import SotwStream
from xds_server.xds.type_url import CLUSTER, ENDPOINT, LISTENER

NODE = Node("n")
OLD = snapshot(resource(CLUSTER, "a"), resource(CLUSTER, "b"), resource(LISTENER, "l"))
NEW = snapshot(resource(CLUSTER, "a"), resource(CLUSTER, "b", "2"))


def following(stream: DeltaStream) -> DeltaStream:
    """A stream whose peer holds OLD."""
    stream.offer(OLD)
    stream.receive(DeltaRequest(CLUSTER, node=NODE))
    stream.receive(DeltaRequest(CLUSTER, nonce="1"))
    return stream


def test_nonces_start_with_the_prefix() -> None:
    """So that a log line tells streams apart."""
    stream = DeltaStream(nonce_prefix="s7-")
    stream.offer(OLD)

    [response] = stream.receive(DeltaRequest(CLUSTER, node=NODE))
    assert response.nonce == "s7-1"


def test_answers_are_told_with_what_they_were_about() -> None:
    """The server makes status and metrics of them."""
    stream = DeltaStream()
    stream.offer(OLD)
    stream.receive(DeltaRequest(CLUSTER, node=NODE))

    assert stream.receive(DeltaRequest(CLUSTER, nonce="1")) == [Acked(CLUSTER, "1")]
    stream.offer(NEW)
    error = NackDetail(13, "bad")
    refused = (NEW.of_type(CLUSTER)["b"],)
    assert stream.receive(DeltaRequest(CLUSTER, nonce="2", error=error)) == [Nacked(CLUSTER, "2", error, refused)]


def test_streams_of_one_view_send_the_very_same_resources() -> None:
    """The encoder remembers bytes by the identity of the tuple."""
    one, other = (following(DeltaStream()).offer(NEW) for _ in range(2))

    assert one[0].resources is other[0].resources


def test_stream_in_step_holds_the_snapshot_and_nothing_of_its_own() -> None:
    """Memory per stream does not grow with the mesh."""
    stream = following(DeltaStream())

    assert stream.status()[CLUSTER].resources is OLD.set_of(CLUSTER).by_name


def test_tombstones_are_what_was_refused_or_never_answered() -> None:
    """The node may hold it without saying so."""
    stream = following(DeltaStream())
    assert stream.tombstones == {}

    stream.offer(NEW)
    assert stream.tombstones == {CLUSTER: {"b"}}
    stream.receive(DeltaRequest(CLUSTER, nonce="2", error=NackDetail(13, "bad")))
    assert stream.tombstones == {CLUSTER: {"b"}}


def test_doubts_leave_out_what_is_on_its_way() -> None:
    """It is accepted in a moment, as a rule; what was refused in part stays doubtful."""
    stream = following(DeltaStream())
    stream.offer(NEW)
    assert stream.doubts == {}

    stream.receive(DeltaRequest(CLUSTER, nonce="2", error=NackDetail(13, "bad")))
    assert stream.doubts == stream.tombstones == {CLUSTER: {"b"}}


def test_tombstones_of_a_type_not_asked_for_are_handed_on() -> None:
    """The stream after this one may settle them."""
    stream = following(DeltaStream(tombstones={CLUSTER: frozenset({"x"}), ENDPOINT: frozenset({"e"})}))
    stream.receive(DeltaRequest(CLUSTER, nonce="2"))

    assert stream.tombstones == {ENDPOINT: {"e"}}


def test_names_asked_for_leave_no_tombstones() -> None:
    """The node names them again as it comes back, and is answered."""
    stream = DeltaStream()
    stream.offer(snapshot(resource(ENDPOINT, "e")))
    stream.receive(DeltaRequest(ENDPOINT, ("e",), node=NODE))
    assert stream.tombstones == {}

    stream.receive(DeltaRequest(ENDPOINT, nonce="1", error=NackDetail(13, "bad")))
    assert stream.tombstones == stream.doubts == {}


def test_tombstone_of_what_is_not_asked_for_is_not_spoken_of() -> None:
    """The node dropped it when it stopped asking."""
    stream = DeltaStream(types=(CLUSTER,), tombstones={CLUSTER: frozenset({"x"})})
    stream.offer(OLD)

    [response] = stream.receive(DeltaRequest(CLUSTER, ("a",), node=NODE))
    assert isinstance(response, DeltaResponse)
    assert response.removed == ()


def test_node_without_an_id_is_as_none() -> None:
    """Once a stream has named it."""
    stream = following(DeltaStream())

    assert stream.receive(DeltaRequest(CLUSTER, node=Node(""))) == []


def test_version_is_known_of_a_peer_that_came_with_everything() -> None:
    """Not of one that came with a part."""
    versions = {}
    for held in ({"a": "1", "b": "1"}, {"a": "1"}):
        stream = DeltaStream()
        stream.offer(OLD)
        stream.receive(DeltaRequest(CLUSTER, initial_versions=held, node=NODE))
        versions[len(held)] = stream.status()[CLUSTER].acked_version

    assert versions == {2: OLD.version_of(CLUSTER), 1: ""}


def test_tombstone_is_in_the_first_removal() -> None:
    """Unknown names in `removed_resources` are harmless (Envoy 1.40), orphans are not."""
    stream = DeltaStream(types=(CLUSTER,), tombstones={CLUSTER: frozenset({"x"})})
    stream.offer(OLD)

    [response] = stream.receive(DeltaRequest(CLUSTER, initial_versions={"a": "1", "b": "1"}, node=NODE))
    assert isinstance(response, DeltaResponse)
    assert (response.resources, response.removed) == ((), ("x",))


def test_sotw_stream_hands_on_the_clusters_that_its_node_is_left_with() -> None:
    """The node will not say which they are; the set is that of the snapshot."""
    stream = SotwStream()
    stream.offer(OLD)
    stream.receive(SotwRequest(CLUSTER, node=NODE))
    stream.receive(SotwRequest(LISTENER, node=NODE))

    assert stream.held == {CLUSTER: OLD.set_of(CLUSTER)}


def test_what_is_held_is_handed_on_by_a_stream_that_never_asked() -> None:
    """A connection may break again at once."""
    held = {CLUSTER: OLD.set_of(CLUSTER)}

    assert SotwStream(held=held).held == held


def test_stream_of_a_peer_that_asks_for_too_much_ends() -> None:
    """Step by step, too, and whatever exists of it."""
    half, rest = (tuple(f"{part}{name}" for name in range(60_000)) for part in "ab")
    delta, sotw = DeltaStream(), SotwStream()
    delta.receive(DeltaRequest(ENDPOINT, half, node=NODE))
    sotw.receive(SotwRequest(ENDPOINT, half, node=NODE))

    for ask in (
        lambda: delta.receive(DeltaRequest(ENDPOINT, rest)),
        lambda: delta.receive(DeltaRequest(CLUSTER, initial_versions=dict.fromkeys((*half, *rest), "1"))),
        lambda: sotw.receive(SotwRequest(ENDPOINT, (*half, *rest))),
    ):
        with pytest.raises(ProtocolViolation) as raised:
            ask()
        assert raised.value.status == "RESOURCE_EXHAUSTED"
