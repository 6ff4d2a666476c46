"""Client status discovery: what each connected proxy was sent, and what it took of that, for grpcdebug and its like.

It tells names and versions; contents are left to the debug port, since other workloads can reach this one. A peer that
had to prove who it is sees its own streams only.
Source: envoy/service/status/v3/csds.proto, where `config_status` is the server's view and `client_status` the client's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from xds_server._proto import status_pb2
from xds_server.errors import ProtocolViolation
from xds_server.server.hub import Proxy
from xds_server.server.status import Refusal, StatusBoard, StreamRecord
from xds_server.xds.channel import TypeStatus

SERVICE = "envoy.service.status.v3.ClientStatusDiscoveryService"
FETCH, STREAM = "FetchClientStatus", "StreamClientStatus"

PrincipalOf = Callable[[Any], str]
"""Who called, "" where nobody need prove anything; raises ProtocolViolation to turn the caller away."""

_Config = status_pb2.ClientConfig
_Resource = status_pb2.ClientConfig.GenericXdsConfig


class ClientStatusService:
    """Both methods of the service.

    Args:
        board: what is known of the streams.
        principal_of: see `PrincipalOf`.
    """

    def __init__(self, board: StatusBoard, principal_of: PrincipalOf) -> None:
        self._board = board
        self._principal_of = principal_of

    def handlers(self) -> dict[str, Any]:
        """The gRPC method handlers by path."""
        return {
            f"/{SERVICE}/{FETCH}": grpc.unary_unary_rpc_method_handler(self._fetch),
            f"/{SERVICE}/{STREAM}": grpc.stream_stream_rpc_method_handler(self._stream),
        }

    async def _fetch(self, request: bytes, call: Any) -> bytes:
        try:
            return self._answer(request, self._principal_of(call))
        except ProtocolViolation as violation:
            await _abort(call, violation)

    async def _stream(self, requests: AsyncIterator[bytes], call: Any) -> AsyncIterator[bytes]:
        try:
            principal = self._principal_of(call)
            async for request in requests:
                yield self._answer(request, principal)
        except ProtocolViolation as violation:
            await _abort(call, violation)

    def _answer(self, request: bytes, principal: str) -> bytes:
        matches = _matcher(request)
        shown = (
            record
            for record in self._board.streams()
            if principal in {"", record.proxy.principal} and matches(record.proxy.node.id)
        )
        return bytes(status_pb2.ClientStatusResponse(config=map(client_config, shown)).SerializeToString())


def client_config(record: StreamRecord) -> status_pb2.ClientConfig:
    """One stream, as the service tells of it."""
    resources = (
        resource
        for url, told in sorted(record.machine().items())
        for resource in _Type(url, told, record.sent_at(url), record.refusal(url)).resources()
    )
    return _Config(node=_node(record.proxy), generic_xds_configs=resources)


def _node(proxy: Proxy) -> Mapping[str, object]:
    node = proxy.node
    region, zone, sub_zone = node.locality
    return {
        "id": node.id,
        "cluster": node.cluster,
        "locality": {"region": region, "zone": zone, "sub_zone": sub_zone},
        "user_agent_name": node.user_agent,
    }


@dataclass(frozen=True, slots=True)
class _Type:
    """One type on one stream."""

    url: str
    told: TypeStatus
    sent_at: float
    refusal: Refusal | None

    def resources(self) -> Iterator[status_pb2.ClientConfig.GenericXdsConfig]:
        """Everything asked for, on its way, held or refused, by name."""
        refused = self.refusal.names if self.refusal else ()
        for name in sorted({*self.told.names, *self.told.sent, *self.told.resources, *refused}):
            yield self._resource(name)

    def _resource(self, name: str) -> status_pb2.ClientConfig.GenericXdsConfig:
        held, sent = self.told.resources.get(name), self.told.sent.get(name)
        said = _Resource(type_url=self.url, name=name, version_info=held.version if held else "")
        if self.sent_at and (held or sent):
            said.last_updated.FromMicroseconds(round(self.sent_at * 1e6))
        if self.refusal is not None and name in self.refusal.names:
            said.config_status, said.client_status = _Config.ERROR, _Resource.NACKED
            said.error_state.details = self.refusal.message
        elif sent is None:
            said.config_status, said.client_status = _Config.NOT_SENT, _Resource.REQUESTED
        elif held is None or held.version != sent.version:
            said.config_status, said.client_status = _Config.STALE, _Resource.REQUESTED
        else:
            said.config_status, said.client_status = _Config.SYNCED, _Resource.ACKED
        return said


def _matcher(request: bytes) -> Callable[[str], bool]:
    """Whether a node id is asked for: by any of the matchers, or by having none.

    Raises:
        ProtocolViolation: the request is malformed, or matches by something that is not served.
    """
    try:
        matchers = status_pb2.ClientStatusRequest.FromString(request).node_matchers
    except DecodeError:
        raise ProtocolViolation("INVALID_ARGUMENT", "malformed ClientStatusRequest") from None
    tests = [_node_test(matcher) for matcher in matchers]
    return lambda node_id: not tests or any(test(node_id) for test in tests)


def _node_test(matcher: status_pb2.NodeMatcher) -> Callable[[str], bool]:
    if matcher.node_metadatas:
        raise ProtocolViolation("INVALID_ARGUMENT", "nodes are matched by node_id, not by node_metadatas")
    if not matcher.HasField("node_id"):
        return lambda _: True
    pattern = matcher.node_id
    kind = pattern.WhichOneof("match_pattern") or "nothing"
    if kind not in _TESTS:
        raise ProtocolViolation("INVALID_ARGUMENT", f"node_id is matched by {', '.join(_TESTS)}, not by {kind}")
    fold = str.lower if pattern.ignore_case else str
    test, wanted = _TESTS[kind], fold(getattr(pattern, kind))
    return lambda node_id: test(fold(node_id), wanted)


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
    "contains": str.__contains__,
}


async def _abort(call: Any, violation: ProtocolViolation) -> NoReturn:
    await call.abort(grpc.StatusCode[violation.status], str(violation))
    raise AssertionError("abort raises")
