"""Whatever bytes a peer sends, parsing gives a request or a ProtocolViolation, and the stream machines survive it."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xds_server._proto import discovery_pb2
from xds_server.errors import ProtocolViolation
from xds_server.server import wire
from xds_server.xds.delta import DeltaStream
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.sotw import SotwStream
from xds_server.xds.type_url import PUSH_ORDER

SNAPSHOT = Snapshot.of([Resource(url, name, "1", b"1") for url in PUSH_ORDER for name in ("a", "b")])
WORDS = st.sampled_from(["", "*", "a", "b", "1", "2", *PUSH_ORDER, "\u2028", "x" * 300])
NAMES = st.lists(WORDS, max_size=4)
NODES = st.builds(lambda node_id: {"id": node_id}, st.sampled_from(["", "n", "m"]))
ERRORS = st.sampled_from([None, {"code": 13, "message": "a"}])
DELTA = st.builds(
    discovery_pb2.DeltaDiscoveryRequest,
    node=NODES,
    type_url=WORDS,
    resource_names_subscribe=NAMES,
    resource_names_unsubscribe=NAMES,
    initial_resource_versions=st.dictionaries(WORDS, WORDS, max_size=3),
    response_nonce=WORDS,
    error_detail=ERRORS,
)
SOTW = st.builds(
    discovery_pb2.DiscoveryRequest,
    node=NODES,
    type_url=WORDS,
    resource_names=NAMES,
    version_info=WORDS,
    response_nonce=WORDS,
    error_detail=ERRORS,
)


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[Any]) -> bytes:
    """A message with a few bytes replaced, inserted or cut off."""
    data = bytearray(draw(messages).SerializeToString())
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(st.binary(max_size=400) | damaged(DELTA) | damaged(SOTW))
def test_any_bytes_are_a_request_or_a_violation(data: bytes) -> None:
    for parse in (wire.sotw_request, wire.delta_request):
        with contextlib.suppress(ProtocolViolation):
            parse(data)


@given(st.lists(DELTA | damaged(DELTA), max_size=8))
def test_any_requests_are_answered_or_end_a_delta_stream(
    messages: list[discovery_pb2.DeltaDiscoveryRequest | bytes],
) -> None:
    stream = DeltaStream()
    stream.offer(SNAPSHOT)
    with contextlib.suppress(ProtocolViolation):
        for message in messages:
            stream.receive(wire.delta_request(message if isinstance(message, bytes) else message.SerializeToString()))
    stream.offer(Snapshot.of([]))


@given(st.lists(SOTW | damaged(SOTW), max_size=8))
def test_any_requests_are_answered_or_end_a_sotw_stream(messages: list[discovery_pb2.DiscoveryRequest | bytes]) -> None:
    stream = SotwStream()
    stream.offer(SNAPSHOT)
    with contextlib.suppress(ProtocolViolation):
        for message in messages:
            stream.receive(wire.sotw_request(message if isinstance(message, bytes) else message.SerializeToString()))
    stream.offer(Snapshot.of([]))
