"""Streams over loopback gRPC: what a peer can do to one, and that it does it to no other."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import grpc
import pytest
from structlog.testing import capture_logs

from tests.server.loopback import ADS, DELTA, SOTW, Client, Server, channel, cluster, endpoints, serving, started, until
from xds_server.errors import ProtocolViolation
from xds_server.server import wire
from xds_server.server.ads import AdsStream
from xds_server.server.hub import Peer
from xds_server.server.listen import ListenOptions
from xds_server.xds import type_url
from xds_server.xds.proxy_status import Variant

BOTH = pytest.mark.parametrize("path", [SOTW, DELTA], ids=["sotw", "delta"])
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@BOTH
async def test_wildcard_request_is_answered_with_every_resource(path: str) -> None:
    async with serving(cluster("a"), cluster("b")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.ask(type_url.CLUSTER)

        response = await client.response()

    assert response.type_url == type_url.CLUSTER
    assert response.nonce
    assert len(response.resources) == 2


@BOTH
async def test_change_reaches_a_stream_that_acked(path: str) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.ask(type_url.CLUSTER)
        await client.ack(await client.response())

        server.publish(cluster("a", b"2"))
        response = await client.response()

    assert b"2" in response.SerializeToString()


@BOTH
async def test_last_of_many_generations_wins(path: str) -> None:
    """A stream that has not answered holds one waiting snapshot, not a queue of them."""
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.ask(type_url.CLUSTER)
        first = await client.response()
        for number in range(2, 50):
            server.publish(cluster("a", str(number).encode()))
            await asyncio.sleep(0)

        await client.ack(first)
        response = await client.response()

    assert b"49" in response.SerializeToString()


@BOTH
@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff\xff\xff\xff\xff"], ids=["garbage", "length"])
async def test_malformed_message_ends_that_stream_only(path: str, data: bytes) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        good, bad = Client(connection, path), Client(connection, path)
        await good.ask(type_url.CLUSTER)
        await good.ack(await good.response())

        with capture_logs() as logs:
            await bad.send_bytes(data)
            status, _ = await bad.ending()
        server.publish(cluster("a", b"2"))
        await good.response()

    assert status is INVALID
    assert [entry["log_level"] for entry in logs] == ["info"], "a peer's mistake is one line, no traceback"


@BOTH
async def test_malformed_message_later_on_a_stream_ends_it(path: str) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.ask(type_url.CLUSTER)
        await client.response()

        await client.send_bytes(b"\xff")

        assert (await client.ending())[0] is INVALID
        await until(lambda: not server.hub.proxies())


@BOTH
async def test_first_request_without_a_node_is_refused(path: str) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.ask(type_url.CLUSTER, node="")
        status, text = await client.ending()

        assert status is INVALID
        assert "node" in text
        assert not server.board.proxies()


@BOTH
async def test_empty_message_is_refused(path: str) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.send_bytes(b"")

        assert (await client.ending())[0] is INVALID


@BOTH
async def test_node_id_that_changes_is_refused(path: str) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.ask(type_url.CLUSTER)
        await client.response()

        await client.ask(type_url.ENDPOINT, "a", node="somebody-else")

        assert (await client.ending())[0] is grpc.StatusCode.PERMISSION_DENIED


@BOTH
async def test_node_that_is_sent_again_is_accepted(path: str) -> None:
    """Without `set_node_on_first_message_only` Envoy sends it each time."""
    async with serving(cluster("a"), endpoints("a")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.ask(type_url.CLUSTER, node="n")
        await client.response()
        await client.ask(type_url.ENDPOINT, "a", node="n")

        assert (await client.response()).type_url == type_url.ENDPOINT


@BOTH
async def test_first_request_without_a_type_is_refused(path: str) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.ask("")

        assert (await client.ending())[0] is INVALID


@BOTH
async def test_unknown_type_is_passed_over_and_the_others_are_served(path: str) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, path)
        await client.ask("type.googleapis.com/acme.Unknown", "x")
        await client.ask(type_url.CLUSTER)

        assert (await client.response()).type_url == type_url.CLUSTER


@BOTH
async def test_two_streams_of_one_node_are_both_served(path: str) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        first, second = Client(connection, path), Client(connection, path)
        for client in (first, second):
            await client.ask(type_url.CLUSTER)
            await client.ack(await client.response())
        first.call.cancel()
        await until(lambda: len(server.hub.proxies()) == 1)

        server.publish(cluster("a", b"2"))

        assert b"2" in (await second.response()).SerializeToString()


@pytest.mark.parametrize("method", [m for m in wire.METHODS if m.type_url], ids=lambda m: m.name)
async def test_single_type_service_serves_its_type_without_being_told(method: wire.Method) -> None:
    held = cluster("a")
    resource = type(held)(method.type_url, "a", "1", b"1")
    async with serving(resource) as server, channel(server) as connection:
        client = Client(connection, method.path)
        wildcard = method.type_url in {type_url.CLUSTER, type_url.LISTENER}
        await client.ask("", *(() if wildcard else ("a",)))

        response = await client.response()

    assert response.type_url == method.type_url
    assert len(response.resources) == 1


@pytest.mark.parametrize("variant", list(Variant))
async def test_single_type_service_does_not_serve_another_type(variant: Variant) -> None:
    (method,) = (m for m in wire.METHODS if m.type_url == type_url.CLUSTER and m.variant is variant)
    async with serving(endpoints("a")) as server, channel(server) as connection:
        client = Client(connection, method.path)
        await client.ask(type_url.ENDPOINT, "a")

        assert (await client.ending())[0] is INVALID


async def test_unknown_method_is_unimplemented() -> None:
    async with serving() as server, channel(server) as connection:
        client = Client(connection, f"{ADS}/Fetch")

        assert (await client.ending())[0] is grpc.StatusCode.UNIMPLEMENTED


@BOTH
async def test_stream_before_the_first_load_is_told_to_come_back(path: str) -> None:
    """An empty answer to a wildcard would delete the peer's mesh."""
    server = Server()
    async with started(server), channel(server) as connection:
        client = Client(connection, path)

        assert (await client.ending())[0] is grpc.StatusCode.UNAVAILABLE


async def test_peer_is_authenticated_before_anything_is_read_from_it() -> None:
    def nobody(_: Peer) -> str:
        raise ProtocolViolation("UNAUTHENTICATED", "who are you?")

    async with serving(cluster("a"), authenticate=nobody) as server, channel(server) as connection:
        client = Client(connection, SOTW)  # and sends nothing

        assert await client.ending() == (grpc.StatusCode.UNAUTHENTICATED, "who are you?")


async def test_principal_goes_with_the_proxy() -> None:
    spiffe_id = "spiffe://td/ns/a/sa/b"
    async with serving(cluster("a"), authenticate=lambda _: spiffe_id) as server, channel(server) as connection:
        client = Client(connection, SOTW)
        await client.ask(type_url.CLUSTER)
        await client.response()

        assert [proxy.principal for proxy in server.hub.proxies()] == [spiffe_id]


async def test_unexpected_failure_is_logged_once_and_ends_that_stream_only() -> None:
    def defect(peer: Peer) -> str:
        if "x-bad" in peer.metadata:
            raise RuntimeError("a defect of ours")
        return ""

    async with serving(cluster("a"), authenticate=defect) as server, channel(server) as connection:
        good = Client(connection, SOTW)
        with capture_logs() as logs:
            call = connection.stream_stream(SOTW)(metadata=(("x-bad", "1"),))
            assert await call.code() is grpc.StatusCode.INTERNAL
        await good.ask(type_url.CLUSTER)
        await good.response()

    assert [entry["log_level"] for entry in logs] == ["error"]
    assert "defect" not in await call.details()


@BOTH
@pytest.mark.parametrize("leave", [lambda c: c.call.cancel(), lambda c: c.call.done_writing()], ids=["cancel", "close"])
async def test_stream_that_ends_leaves_nothing_behind(path: str, leave: Callable[[Client], object]) -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        for _ in range(20):
            client = Client(connection, path)
            await client.ask(type_url.CLUSTER)
            await client.ack(await client.response())
            left = leave(client)
            if asyncio.iscoroutine(left):
                await left
            await until(lambda: not server.hub.proxies())
            del client, left

        await until(lambda: not _streams_alive())
        assert not server.board.proxies()


@BOTH
async def test_peer_that_leaves_in_the_middle_of_a_write_is_no_failure(path: str) -> None:
    async with serving(cluster("a", b"x" * (8 << 20))) as server, channel(server) as connection:
        with capture_logs() as logs:
            for _ in range(30):
                client = Client(connection, path)
                written = server.board.sent_bytes
                await client.ask(type_url.CLUSTER)
                await until(lambda before=written: server.board.sent_bytes > before)  # type: ignore[misc]
                client.call.cancel()
            await until(lambda: not server.hub.proxies())

    assert logs == []
    assert "INTERNAL" not in server.board.totals().ended


async def test_nack_is_kept_with_its_text_redacted_and_is_not_answered() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----"
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, DELTA)
        await client.ask(type_url.CLUSTER)
        response = await client.response()
        with capture_logs() as logs:
            await client.ask(type_url.CLUSTER, nonce=response.nonce, error=f"a: bad {key}")
            await until(lambda: server.board.totals().nacks == {type_url.CLUSTER: 1})
        (status,) = server.board.proxies()
        server.publish(cluster("a", b"2"))
        await client.response()

    assert status.types[type_url.CLUSTER].last_error == "a: bad [redacted PEM]"
    assert "MIGH" not in str(logs)


async def test_peer_that_stops_reading_is_let_go_and_others_are_served() -> None:
    """60 s in service; here the limit is a second."""
    big = cluster("a", b"x" * (24 << 20))
    async with serving(big, options=ListenOptions(stall_limit=1)) as server, channel(server) as connection:
        stalled = Client(connection, SOTW)
        await stalled.ask(type_url.CLUSTER)
        await until(lambda: server.board.totals().ended == {"DEADLINE_EXCEEDED": 1})

        server.publish(cluster("a"))
        async with channel(server) as another:
            good = Client(another, SOTW)
            await good.ask(type_url.CLUSTER)
            await good.response()


async def test_request_beyond_the_limit_ends_that_stream_only() -> None:
    options = ListenOptions(receive_limit=10_000)
    async with serving(cluster("a"), options=options) as server, channel(server) as connection:
        bad, good = Client(connection, SOTW), Client(connection, SOTW)
        await bad.ask(type_url.CLUSTER, "x" * 20_000)
        assert (await bad.ending())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED

        await good.ask(type_url.CLUSTER)
        await good.response()


@BOTH
async def test_a_thousand_streams_opened_at_once_are_all_served(path: str) -> None:
    """With gRPC's default of pending requests some of them are lost."""
    async with serving(cluster("a")) as server, channel(server) as connection:
        clients = [Client(connection, path) for _ in range(1000)]
        await asyncio.gather(*(client.ask(type_url.CLUSTER) for client in clients))
        responses = await asyncio.gather(*(client.response() for client in clients))

        assert len(server.hub.proxies()) == 1000

    assert {len(response.resources) for response in responses} == {1}


def _streams_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, AdsStream) for thing in gc.get_objects())
