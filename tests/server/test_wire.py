"""Bytes <-> values, judged by the protobuf runtime and by Envoy's own generated code."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import discovery_pb2 as envoy_pb2

from xds_server._proto import discovery_pb2
from xds_server.errors import ProtocolViolation
from xds_server.server import wire
from xds_server.xds import type_url
from xds_server.xds.messages import DeltaResponse, NackDetail, Node, SotwResponse
from xds_server.xds.resource import Resource

A = Resource(type_url.CLUSTER, "a", "1f", b"\x0a\x01a")
LONG = Resource(type_url.CLUSTER, "x" * 300, "2f", b"\x0a\x81\x01" + b"y" * 129 + b"z" * 20_000)


def test_sotw_request_is_read_as_envoy_writes_it() -> None:
    data = envoy_pb2.DiscoveryRequest(
        version_info="7", resource_names=["a", "b"], type_url=type_url.ENDPOINT, response_nonce="n1"
    ).SerializeToString()

    request = wire.sotw_request(data)

    assert (request.version, request.names, request.type_url, request.nonce) == (
        "7",
        ("a", "b"),
        type_url.ENDPOINT,
        "n1",
    )
    assert request.node is None
    assert request.error is None


def test_delta_request_is_read_as_envoy_writes_it() -> None:
    data = envoy_pb2.DeltaDiscoveryRequest(
        type_url=type_url.CLUSTER,
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"c": "1"},
        response_nonce="n2",
    ).SerializeToString()

    request = wire.delta_request(data)

    assert (request.subscribe, request.unsubscribe) == (("a",), ("b",))
    assert request.initial_versions == {"c": "1"}
    assert (request.type_url, request.nonce) == (type_url.CLUSTER, "n2")


def test_nack_is_read_from_error_detail() -> None:
    message = envoy_pb2.DeltaDiscoveryRequest(type_url=type_url.CLUSTER)
    message.error_detail.code = 13
    message.error_detail.message = "no"

    assert wire.delta_request(message.SerializeToString()).error == NackDetail(13, "no")


def test_endless_reason_of_a_nack_is_cut_before_names_are_looked_for_in_it() -> None:
    data = envoy_pb2.DiscoveryRequest(error_detail={"code": 3, "message": "x" * 300_000}).SerializeToString()

    assert wire.sotw_request(data).error == NackDetail(3, "x" * (1 << 18))


def test_node_keeps_what_we_use_and_skips_its_extensions() -> None:
    """Extensions are 60 of the 61 kB of Envoy's first request."""
    node = base_pb2.Node(id="n", cluster="c", user_agent_name="envoy")
    node.locality.region, node.locality.zone = "eu", "eu-1"
    node.user_agent_build_version.version.major_number = 1
    node.user_agent_build_version.version.minor_number = 40
    node.metadata.update({"LABELS": {"app": "web"}, "PORTS": [1, "two", True, None]})
    node.extensions.extend(base_pb2.Extension(name=f"envoy.filter.{n}") for n in range(500))

    request = wire.sotw_request(envoy_pb2.DiscoveryRequest(node=node).SerializeToString())

    assert request.node == Node(
        id="n",
        cluster="c",
        locality=("eu", "eu-1", ""),
        metadata={"LABELS": {"app": "web"}, "PORTS": [1.0, "two", True, None]},
        user_agent="envoy/1.40.0",
    )


def test_node_id_that_is_too_long_to_be_kept_is_a_protocol_violation() -> None:
    """A node may call its replicas as it likes, and what is kept by their ids outlives their streams."""

    def request(length: int) -> bytes:
        return bytes(envoy_pb2.DeltaDiscoveryRequest(node=base_pb2.Node(id="x" * length)).SerializeToString())

    assert wire.delta_request(request(1024)).node == Node("x" * 1024)
    with pytest.raises(ProtocolViolation, match="1024 characters"):
        wire.delta_request(request(1025))


def test_metadata_that_json_cannot_say_is_read_all_the_same() -> None:
    node = base_pb2.Node(id="n")
    node.metadata["odd"] = math.inf

    request = wire.sotw_request(envoy_pb2.DiscoveryRequest(node=node).SerializeToString())

    assert request.node is not None
    assert request.node.metadata == {"odd": math.inf}


def test_version_of_other_clients_is_text() -> None:
    node = base_pb2.Node(id="n", user_agent_name="gRPC Python", user_agent_version="1.85")

    request = wire.sotw_request(envoy_pb2.DiscoveryRequest(node=node).SerializeToString())

    assert request.node is not None
    assert request.node.user_agent == "gRPC Python/1.85"


@pytest.mark.parametrize("parse", [wire.sotw_request, wire.delta_request])
@pytest.mark.parametrize(
    "data",
    [b"\xff", b"\x22\x05abc", b"\x22\x02\xff\xfe", b"\x0a" + b"\xff" * 12],
    ids=["tag", "truncated", "utf-8", "length"],
)
def test_bytes_that_are_no_request_are_a_protocol_violation(parse: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="malformed") as violation:
        parse(data)
    assert violation.value.status == "INVALID_ARGUMENT"


def test_deep_metadata_is_a_protocol_violation() -> None:
    """The parser's limit on nesting guards our own recursion."""
    value = b"\x1a\x01a"  # string_value: "a"
    for _ in range(2000):
        value = b"\x32" + _sized(b"\x0a" + _sized(value))  # list_value of one
    node = b"\x1a" + _sized(b"\x0a" + _sized(b"\x0a\x01k\x12" + _sized(value)))

    with pytest.raises(ProtocolViolation, match="malformed"):
        wire.sotw_request(b"\x12" + _sized(node))


@pytest.mark.parametrize("resources", [(), (A,), (A, LONG)], ids=["none", "one", "long"])
def test_sotw_body_is_what_the_protobuf_runtime_would_write(resources: tuple[Resource, ...]) -> None:
    expected = discovery_pb2.DiscoveryResponse(version_info="v", type_url=type_url.CLUSTER, nonce="n" * 200)
    for resource in resources:
        expected.resources.add(type_url=resource.type_url, value=resource.body)

    body = wire.sotw_body(SotwResponse(type_url.CLUSTER, "v", "n" * 200, resources))

    assert body == expected.SerializeToString()


@pytest.mark.parametrize("removed", [(), ("gone", "")], ids=["none", "two"])
def test_delta_body_is_what_the_protobuf_runtime_would_write(removed: tuple[str, ...]) -> None:
    expected = discovery_pb2.DeltaDiscoveryResponse(
        system_version_info="v", type_url=type_url.CLUSTER, nonce="n", removed_resources=removed
    )
    for resource in (A, LONG):
        entry = expected.resources.add(name=resource.name, version=resource.version)
        entry.resource.type_url, entry.resource.value = resource.type_url, resource.body

    body = wire.delta_body(DeltaResponse(type_url.CLUSTER, "v", "n", (A, LONG), removed))

    assert discovery_pb2.DeltaDiscoveryResponse.FromString(body) == expected
    assert len(body) == expected.ByteSize()


def test_bodies_are_read_by_envoys_own_code() -> None:
    body = wire.delta_body(DeltaResponse(type_url.CLUSTER, "v", "n", (A,), ("gone",)))

    message = envoy_pb2.DeltaDiscoveryResponse.FromString(body)

    assert [(r.name, r.version, r.resource.value) for r in message.resources] == [("a", "1f", A.body)]
    assert list(message.removed_resources) == ["gone"]


def test_streams_that_are_sent_the_same_share_one_body() -> None:
    bodies, resources = wire.Bodies(), (A, LONG)

    first = bodies.of(SotwResponse(type_url.CLUSTER, "v", "1", resources))

    assert bodies.of(SotwResponse(type_url.CLUSTER, "v", "1", resources)) is first


def test_streams_at_other_nonces_share_all_but_the_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which differ as soon as one stream is older than another, or has been sent a certificate more."""
    bodies, resources = wire.Bodies(), (A, LONG)
    responses = [DeltaResponse(type_url.CLUSTER, "v", nonce, resources) for nonce in ("1", "20", "1", "3")]
    expected = [wire.delta_body(response) for response in responses]
    encoded: list[Resource] = []
    any_head = wire._any_head

    def counted(resource: Resource) -> bytes:
        encoded.append(resource)
        return any_head(resource)

    monkeypatch.setattr(wire, "_any_head", counted)

    assert [bodies.of(response) for response in responses] == expected
    assert encoded == [A, LONG]


@pytest.mark.parametrize(
    "other",
    [
        DeltaResponse(type_url.CLUSTER, "v", "2", (A,)),
        DeltaResponse(type_url.CLUSTER, "w", "1", (A,)),
        DeltaResponse(type_url.CLUSTER, "v", "1", (A,), ("gone",)),
        DeltaResponse(type_url.CLUSTER, "v", "1", (LONG,)),
        SotwResponse(type_url.CLUSTER, "v", "1", (A,)),
    ],
)
def test_a_body_is_shared_only_if_every_byte_is_the_same(other: SotwResponse | DeltaResponse) -> None:
    bodies = wire.Bodies()
    bodies.of(DeltaResponse(type_url.CLUSTER, "v", "1", (A,)))

    fresh = wire.sotw_body(other) if isinstance(other, SotwResponse) else wire.delta_body(other)
    assert bodies.of(other) == fresh


def test_bodies_are_kept_within_their_budget() -> None:
    bodies, resources = wire.Bodies(budget=60_000), (LONG,)
    first = bodies.of(SotwResponse(type_url.CLUSTER, "v", "1", resources))

    bodies.of(SotwResponse(type_url.CLUSTER, "w", "1", resources))

    assert bodies.of(SotwResponse(type_url.CLUSTER, "v", "1", resources)) is not first


def _sized(data: bytes) -> bytes:
    size, length = len(data), b""
    while size > 127:
        length += bytes((size & 127 | 128,))
        size >>= 7
    return length + bytes((size,)) + data
