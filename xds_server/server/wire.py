"""Bytes on the wire <-> `xds.messages`, and the gRPC names under which xDS is spoken.

Requests go through the protobuf runtime and our subset of the envelope (`protos/`). Responses are joined from bytes
that exist already: a Resource's body is never parsed, copied into a message or encoded again, and streams that are
sent the same thing share all of it but perhaps the nonce.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct, Value

from xds_server._proto import discovery_pb2
from xds_server.errors import ProtocolViolation
from xds_server.xds import type_url
from xds_server.xds.messages import DeltaRequest, DeltaResponse, NackDetail, Node, SotwRequest, SotwResponse
from xds_server.xds.proxy_status import Variant
from xds_server.xds.resource import Resource

MessageT = TypeVar("MessageT", bound=Message)

LONGEST_ID = 1024
"""Characters of a node id; the longest names that Kubernetes has make one of 650."""
LONGEST_REASON = 1 << 18
"""Characters of a NACK that are read: each resource's name is looked for in it, which takes 0.2 s for 3,000 of them."""


@dataclass(frozen=True, slots=True)
class Method:
    """One gRPC method. `type_url` is the only type it serves, "" for the aggregated service, which serves all."""

    service: str
    name: str
    variant: Variant
    type_url: str = ""

    @property
    def path(self) -> str:
        """The HTTP/2 path by which peers call it."""
        return f"/{self.service}/{self.name}"


_SERVICES = (
    ("envoy.service.discovery.v3.AggregatedDiscoveryService", "AggregatedResources", ""),
    ("envoy.service.cluster.v3.ClusterDiscoveryService", "Clusters", type_url.CLUSTER),
    ("envoy.service.endpoint.v3.EndpointDiscoveryService", "Endpoints", type_url.ENDPOINT),
    ("envoy.service.listener.v3.ListenerDiscoveryService", "Listeners", type_url.LISTENER),
    ("envoy.service.route.v3.RouteDiscoveryService", "Routes", type_url.ROUTE),
    ("envoy.service.secret.v3.SecretDiscoveryService", "Secrets", type_url.SECRET),
)
METHODS = tuple(
    Method(service, verb + noun, variant, url)
    for service, noun, url in _SERVICES
    for verb, variant in (("Stream", Variant.SOTW), ("Delta", Variant.DELTA))
)
"""Every method served: Envoy's real names."""

SERVICES = tuple(service for service, _, _ in _SERVICES)
"""The services that these belong to."""

_SHORT = 256
"""Bytes of a request that may come from many peers alike: ACKs of one response are the same on every stream."""


def sotw_request(data: bytes) -> SotwRequest:
    """Parse a DiscoveryRequest.

    Raises:
        ProtocolViolation: it is no DiscoveryRequest (INVALID_ARGUMENT).
    """
    return _short_sotw_request(data) if len(data) <= _SHORT else _sotw_request(data)


def delta_request(data: bytes) -> DeltaRequest:
    """Parse a DeltaDiscoveryRequest.

    Raises:
        ProtocolViolation: it is no DeltaDiscoveryRequest (INVALID_ARGUMENT).
    """
    return _short_delta_request(data) if len(data) <= _SHORT else _delta_request(data)


def sotw_body(response: SotwResponse) -> bytes:
    """The bytes of a DiscoveryResponse."""
    return _sotw_content(response) + _nonce(response)


def delta_body(response: DeltaResponse) -> bytes:
    """The bytes of a DeltaDiscoveryResponse."""
    return _delta_content(response) + _nonce(response)


@dataclass(slots=True)
class _Said:
    """What streams are told at one time, and how the last of them was.

    Attributes:
        resources: kept, so that their id stays their own.
        content: the bytes of the response without its nonce.
        body: those with `nonce`.
    """

    resources: tuple[Resource, ...]
    content: bytes
    nonce: str = ""
    body: bytes = b""


class Bodies:
    """Response bodies, encoded once for all streams that are sent the same resources.

    "The same resources" means the same tuple: streams that share a snapshot are given one by their machines. Those that
    are at the same nonce share the very bytes; to any other its own nonce is joined, which stands last for that.

    Args:
        budget: how many bytes are kept for other streams; the least recently used go first.
    """

    def __init__(self, budget: int = 32 << 20) -> None:
        self._budget = budget
        self._size = 0
        self._kept: OrderedDict[tuple[object, ...], _Said] = OrderedDict()

    def of(self, response: SotwResponse | DeltaResponse) -> bytes:
        """The bytes of `response`."""
        removed = response.removed if isinstance(response, DeltaResponse) else None
        key = (response.type_url, response.version, removed, id(response.resources))
        said = self._kept.get(key)
        if said is None:
            said = self._said(response)
            self._keep(key, said)
        else:
            self._kept.move_to_end(key)
        if said.nonce != response.nonce:
            said.nonce, said.body = response.nonce, said.content + _nonce(response)
        return said.body

    def _said(self, response: SotwResponse | DeltaResponse) -> _Said:
        content = _sotw_content(response) if isinstance(response, SotwResponse) else _delta_content(response)
        return _Said(response.resources, content)

    def _keep(self, key: tuple[object, ...], said: _Said) -> None:
        self._kept[key] = said
        self._size += 2 * len(said.content)
        while self._size > self._budget:
            _, oldest = self._kept.popitem(last=False)
            self._size -= 2 * len(oldest.content)


def _sotw_content(response: SotwResponse) -> bytes:
    parts = [_text(1, response.version)]
    for resource in response.resources:
        head = _any_head(resource)
        parts += (_length(2, len(head) + len(resource.body)), head, resource.body)
    parts.append(_text(4, response.type_url))
    return b"".join(parts)


def _delta_content(response: DeltaResponse) -> bytes:
    parts = [_text(1, response.version)]
    for resource in response.resources:
        any_head = _any_head(resource)
        head = _text(1, resource.version) + _length(2, len(any_head) + len(resource.body)) + any_head
        name = _text(3, resource.name)
        parts += (_length(2, len(head) + len(resource.body) + len(name)), head, resource.body, name)
    parts.append(_text(4, response.type_url))
    parts += (_text(6, name, always=True) for name in response.removed)
    return b"".join(parts)


def _nonce(response: SotwResponse | DeltaResponse) -> bytes:
    return _text(5, response.nonce)


def _sotw_request(data: bytes) -> SotwRequest:
    message = _parse(discovery_pb2.DiscoveryRequest, data)
    return SotwRequest(
        type_url=message.type_url,
        names=tuple(message.resource_names),
        version=message.version_info,
        nonce=message.response_nonce,
        error=_error(message),
        node=node(message),
    )


def _delta_request(data: bytes) -> DeltaRequest:
    message = _parse(discovery_pb2.DeltaDiscoveryRequest, data)
    return DeltaRequest(
        type_url=message.type_url,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_versions=dict(message.initial_resource_versions),
        nonce=message.response_nonce,
        error=_error(message),
        node=node(message),
    )


_short_sotw_request = functools.lru_cache(maxsize=256)(_sotw_request)
_short_delta_request = functools.lru_cache(maxsize=256)(_delta_request)


def _parse(kind: type[MessageT], data: bytes) -> MessageT:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise ProtocolViolation("INVALID_ARGUMENT", f"malformed {kind.DESCRIPTOR.name}") from None


def _error(message: Any) -> NackDetail | None:
    if not message.HasField("error_detail"):
        return None
    return NackDetail(message.error_detail.code, message.error_detail.message[:LONGEST_REASON])


def node(message: Any) -> Node | None:
    """The node that a message of ours names in its field `node`; None when it names none.

    Raises:
        ProtocolViolation: its id is too long to be kept, as it is of nodes that have left too.
    """
    if not message.HasField("node"):
        return None
    said = message.node
    if len(said.id) > LONGEST_ID:
        raise ProtocolViolation("INVALID_ARGUMENT", f"a node id has {LONGEST_ID} characters at most")
    return Node(
        id=said.id,
        cluster=said.cluster,
        locality=(said.locality.region, said.locality.zone, said.locality.sub_zone),
        metadata=_struct(said.metadata),
        user_agent=_user_agent(said),
    )


def _user_agent(node: discovery_pb2.Node) -> str:
    """Name and version as "envoy/1.40.0"; Envoy sends its version in numbers, other clients as text."""
    version = node.user_agent_version
    if node.HasField("user_agent_build_version"):
        numbers = node.user_agent_build_version.version
        version = f"{numbers.major_number}.{numbers.minor_number}.{numbers.patch}"
    return "/".join(part for part in (node.user_agent_name, version) if part)


def _struct(struct: Struct) -> dict[str, object]:
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: Value) -> object:
    """A Struct's value as Python has it. The runtime's own limit on nesting bounds the depth."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return [_value(item) for item in value.list_value.values]
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
    return None


def _any_head(resource: Resource) -> bytes:
    """What stands before the body in google.protobuf.Any."""
    return _text(1, resource.type_url) + _length(2, len(resource.body))


def _text(number: int, text: str, *, always: bool = False) -> bytes:
    """A string field; left out when empty (proto3), unless it is one of a repeated field."""
    if not text and not always:
        return b""
    data = text.encode()
    return _length(number, len(data)) + data


def _length(number: int, size: int) -> bytes:
    """Tag and length of a length-delimited field; all numbers here are below 16."""
    return bytes((number << 3 | 2, *_varint(size)))


def _varint(value: int) -> Iterator[int]:
    while value > 127:
        yield value & 127 | 128
        value >>= 7
    yield value
