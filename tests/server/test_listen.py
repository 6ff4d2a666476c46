"""Opening and closing the port."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.patience import PATIENCE
from tests.server.loopback import SOTW, Client, Server, channel, cluster, serving, started
from xds_server.errors import ConfigurationError
from xds_server.server.hub import Hub
from xds_server.server.listen import ListenOptions, listen
from xds_server.xds import type_url


async def test_port_zero_finds_a_free_one() -> None:
    async with serving() as server:
        assert server.listener.port > 0


async def test_address_in_use_is_the_operators_mistake() -> None:
    """GRPC would share the port (SO_REUSEPORT) and each server would get half of the proxies."""
    async with serving() as server:
        address = f"127.0.0.1:{server.listener.port}"

        with pytest.raises(ConfigurationError, match=address):
            await listen(address, server.hub, server.board)


async def test_unix_socket_is_served(tmp_path: Path) -> None:
    server, address = Server(), f"unix:{tmp_path}/xds.sock"
    server.publish(cluster("a"))
    async with started(server, address=address), grpc.aio.insecure_channel(address) as connection:
        client = Client(connection, SOTW)
        await client.ask(type_url.CLUSTER)

        assert len((await client.response()).resources) == 1


async def test_stopping_ends_streams_with_unavailable() -> None:
    async with serving(cluster("a")) as server, channel(server) as connection:
        client = Client(connection, SOTW)
        await client.ask(type_url.CLUSTER)
        await client.response()

        await server.listener.stop(grace=20)
        status, _ = await client.ending()

    assert status is grpc.StatusCode.UNAVAILABLE


async def test_drain_says_so_to_health_watchers_before_it_ends_streams() -> None:
    """Whoever balances between servers must hear of it before the proxies look for another one."""
    server, step = Server(), asyncio.Event()
    server.hub = Hub(server._snapshots_for, sleep=lambda _: step.wait())
    server.publish(cluster("a"))
    async with started(server), channel(server) as connection:
        await server.listener.set_serving(True)
        health = health_pb2_grpc.HealthStub(connection).Watch(health_pb2.HealthCheckRequest())
        before = await health.read()
        first, last = (Client(connection, SOTW, node=node) for node in ("a", "b"))
        for client in (first, last):
            await client.ask(type_url.CLUSTER)
            await client.ack(await client.response())

        draining = asyncio.create_task(server.listener.drain(5))
        during = await health.read()
        first_status, _ = await first.ending()
        server.publish(cluster("b"))
        still_served = await last.response()
        step.set()
        await draining
        last_status, _ = await last.ending()

    statuses = health_pb2.HealthCheckResponse
    assert [before.status, during.status] == [statuses.SERVING, statuses.NOT_SERVING]
    assert [first_status, last_status] == [grpc.StatusCode.UNAVAILABLE] * 2
    assert len(still_served.resources) == 1


async def test_draining_server_takes_no_new_streams() -> None:
    server, step = Server(), asyncio.Event()
    server.hub = Hub(server._snapshots_for, sleep=lambda _: step.wait())
    server.publish(cluster("a"))
    async with started(server), channel(server) as old, channel(server) as new:
        clients = [Client(old, SOTW, node=node) for node in ("a", "b")]
        for client in clients:
            await client.ask(type_url.CLUSTER)
            await client.response()
        draining = asyncio.create_task(server.listener.drain(5))
        await clients[0].ending()

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await new.unary_unary("/any/Method")(b"")
        step.set()
        await draining

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_frequent_keepalive_pings_are_put_up_with() -> None:
    """By default gRPC answers the third ping within five minutes with GOAWAY too_many_pings: a reconnect loop."""
    empty_settings, ping = b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x08\x06\0\0\0\0\0" + b"keep-al."
    async with serving() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.listener.port)
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + empty_settings + ping * 20)
        frames = [await _frame_type(reader)]
        while frames.count(_PING) < 20 and _GOAWAY not in frames:
            frames.append(await _frame_type(reader))
        writer.close()

    assert _GOAWAY not in frames


def test_limits_are_above_a_fleet() -> None:
    arguments = dict(ListenOptions().channel_arguments())

    assert arguments["grpc.max_receive_message_length"] >= 64 << 20
    assert arguments["grpc.server.max_pending_requests_hard_limit"] >= 10_000


_PING, _GOAWAY = 6, 7


async def _frame_type(reader: asyncio.StreamReader) -> int:
    """Read one HTTP/2 frame and tell its type (RFC 9113, section 4.1)."""
    async with asyncio.timeout(PATIENCE):
        header = await reader.readexactly(9)
        await reader.readexactly(int.from_bytes(header[:3]))
    return header[3]
