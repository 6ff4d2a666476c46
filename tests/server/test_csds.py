"""Client status, asked by Envoy's own generated client code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc
from google.protobuf import json_format

from tests.server.loopback import DELTA, SOTW, Client, Server, channel, cluster, endpoints, serving, until
from xds_server.errors import ProtocolViolation
from xds_server.server.hub import Peer
from xds_server.server.status import StreamRecord
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

KEY = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2OF"


@asynccontextmanager
async def connected(server: Server, *nodes: str, path: str = SOTW) -> AsyncIterator[list[Client]]:
    """A stream of each node that was sent its clusters."""
    async with channel(server) as connection:
        clients = [Client(connection, path, node=node) for node in nodes]
        for client in clients:
            await client.ask(type_url.CLUSTER)
        yield clients


async def fetched(server: Server, *matchers: dict[str, Any], metadata: Iterable[tuple[str, str]] = ()) -> list[Any]:
    """The configs that FetchClientStatus gives."""
    request = csds_pb2.ClientStatusRequest()
    json_format.ParseDict({"node_matchers": list(matchers)}, request)
    async with channel(server) as connection:
        stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(connection)
        answer = await stub.FetchClientStatus(request, metadata=tuple(metadata))
    return list(answer.config)


def states(config: Any) -> dict[str, tuple[str, str]]:
    """(status to the server, status to the client) by name of the resource."""
    found = json_format.MessageToDict(config, preserving_proto_field_name=True)["generic_xds_configs"]
    return {one["name"]: (one["config_status"], one["client_status"]) for one in found}


def record(server: Server) -> StreamRecord:
    (found,) = server.board.streams()
    return found


def asked(server: Server) -> set[str]:
    """The types that connected proxies have asked for."""
    return {url for record in server.board.streams() for url in record.machine()}


async def test_what_the_proxy_took_is_synced_with_its_version_and_time() -> None:
    async with serving(cluster("a"), cluster("b")) as server, connected(server, "web") as (web,):
        await web.ack(await web.response())
        await until(lambda: record(server).has_taken(type_url.CLUSTER))
        (config,) = await fetched(server)

    assert config.node.id == "web"
    assert states(config) == {"a": ("SYNCED", "ACKED"), "b": ("SYNCED", "ACKED")}
    first = config.generic_xds_configs[0]
    assert (first.type_url, first.version_info) == (type_url.CLUSTER, "1")
    assert first.last_updated.seconds > 0


async def test_what_is_not_answered_yet_is_stale() -> None:
    async with serving(cluster("a"), cluster("b")) as server, connected(server, "web", path=DELTA) as (web,):
        await web.ack(await web.response())
        await until(lambda: record(server).has_taken(type_url.CLUSTER))
        server.publish(cluster("a"), cluster("b", b"2"))
        await web.response()
        (config,) = await fetched(server)

    assert states(config) == {"a": ("SYNCED", "ACKED"), "b": ("STALE", "REQUESTED")}


async def test_what_was_asked_for_and_is_not_there_is_not_sent() -> None:
    async with serving(endpoints("a")) as server, connected(server, "web", path=DELTA) as (web,):
        await web.ask(type_url.LISTENER, "gone")
        await until(lambda: type_url.LISTENER in asked(server))
        (config,) = await fetched(server)

    assert states(config)["gone"] == ("NOT_SENT", "REQUESTED")


async def test_what_the_proxy_refused_says_why_without_what_is_secret() -> None:
    async with serving(cluster("a"), cluster("b")) as server, connected(server, "web") as (web,):
        response = await web.response()
        await web.ask(response.type_url, nonce=response.nonce, error=f"Error adding cluster(s) b: key {KEY}")
        await until(lambda: record(server).refusal(type_url.CLUSTER) is not None)
        (config,) = await fetched(server)

    assert states(config)["b"] == ("ERROR", "NACKED")
    assert config.generic_xds_configs[-1].error_state.details == "Error adding cluster(s) b: key [redacted]"


async def test_contents_are_never_told() -> None:
    """Other workloads reach this port."""
    secret = Resource(type_url.SECRET, "default", "1", b"key")
    async with serving(secret, cluster("a")) as server, connected(server, "web", path=DELTA) as (web,):
        await web.ask(type_url.SECRET, "default")
        await until(lambda: type_url.SECRET in asked(server))
        (config,) = await fetched(server)

    assert not any(one.HasField("xds_config") for one in config.generic_xds_configs)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ({"exact": "web-1"}, ["web-1"]),
        ({"prefix": "web"}, ["web-1", "web-2"]),
        ({"suffix": "1"}, ["api-1", "web-1"]),
        ({"contains": "i-"}, ["api-1"]),
        ({"exact": "WEB-1", "ignore_case": True}, ["web-1"]),
        ({"exact": "WEB-1"}, []),
    ],
)
async def test_nodes_are_chosen_by_id(pattern: dict[str, Any], found: list[str]) -> None:
    async with serving(cluster("a")) as server, connected(server, "web-1", "api-1", "web-2"):
        await until(lambda: len(server.board.streams()) == 3)
        configs = await fetched(server, {"node_id": pattern})

    assert [config.node.id for config in configs] == found


async def test_any_of_several_matchers_chooses() -> None:
    async with serving(cluster("a")) as server, connected(server, "a", "b", "c"):
        await until(lambda: len(server.board.streams()) == 3)
        configs = await fetched(server, {"node_id": {"exact": "a"}}, {"node_id": {"exact": "c"}})

    assert [config.node.id for config in configs] == ["a", "c"]


@pytest.mark.parametrize(
    ("matcher", "message"),
    [
        ({"node_metadatas": [{"path": [{"key": "a"}], "value": {"present_match": True}}]}, "not by node_metadatas"),
        ({"node_id": {"safe_regex": {"regex": "a"}}}, "exact, prefix, suffix, contains, not by safe_regex"),
        ({"node_id": {}}, "not by nothing"),
    ],
)
async def test_matcher_that_is_not_served_is_refused(matcher: dict[str, Any], message: str) -> None:
    """To leave it out of account would show more than was asked for."""
    async with serving() as server:
        with pytest.raises(grpc.aio.AioRpcError, match=message) as caught:
            await fetched(server, matcher)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_malformed_request_is_the_peers_mistake() -> None:
    async with serving() as server, channel(server) as connection:
        call: Any = connection.unary_unary("/envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus")

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\xff")

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_stream_answers_each_request_with_the_state_of_that_moment() -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        call = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(connection).StreamClientStatus()
        await call.write(csds_pb2.ClientStatusRequest())
        before = await call.read()
        async with connected(server, "web"):
            await until(lambda: len(server.board.streams()) == 1)
            await call.write(csds_pb2.ClientStatusRequest())
            after = await call.read()

    assert [[config.node.id for config in answer.config] for answer in (before, after)] == [[], ["web"]]


async def test_a_peer_that_proved_who_it_is_sees_its_own_streams_only() -> None:
    def by_header(peer: Peer) -> str:
        if not peer.metadata.get("who"):
            raise ProtocolViolation("UNAUTHENTICATED", "say who")
        return peer.metadata["who"]

    async with serving(cluster("a"), authenticate=by_header) as server, channel(server) as connection:
        for who in ("web", "api"):
            await Client(connection, SOTW, node=who, metadata=[("who", who)]).ask(type_url.CLUSTER)
        await until(lambda: len(server.board.streams()) == 2)
        configs = await fetched(server, metadata=[("who", "web")])

        with pytest.raises(grpc.aio.AioRpcError, match="say who"):
            await fetched(server)

    assert [config.node.id for config in configs] == ["web"]
