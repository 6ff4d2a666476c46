"""Many proxies, and some that behave badly: what one does the others must not feel."""

from __future__ import annotations

import asyncio
import gc
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from tests.faults.fleet import fleet, in_step, node_id
from tests.faults.herd import herd
from tests.faults.policies import service, snapshots
from tests.faults.site import Site
from tests.patience import PATIENCE
from tests.server.loopback import DELTA, SOTW, Client, channel, cluster, serving, until
from xds_server._proto import discovery_pb2
from xds_server.xds.type_url import CLUSTER

HERD = 1000
CYCLES = 20
AT_ONCE = 25


async def test_a_thousand_proxies_that_reconnect_at_once_all_converge(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """And the server needs at most twice the memory for it that it needs to hold them."""
    came_back = await herd(tmp_path, proxies=HERD, services=30)
    figure(
        f"{HERD} proxies reconnect: ready after {came_back.ready:.1f} s, all in step {came_back.in_step:.1f} s later, "
        f"peak {came_back.peak >> 20} MB, steady {came_back.steady >> 20} MB"
    )

    assert came_back.peak < 2 * came_back.steady


async def test_a_proxy_that_stops_answering_holds_up_none_of_two_hundred(site: Site) -> None:
    """Ten changes pass it by; when it goes on it gets what was on its way and then the last state, nothing between."""
    nodes = [node_id(number) for number in range(200)]
    async with fleet(site.control.xds_port, 200) as proxies:
        await in_step(proxies, snapshots(site.control.policies, nodes))
        stalled, others = proxies[0], proxies[1:]
        before, ended = stalled.responses.total(), [other.streams for other in others]
        stalled.goes_on.clear()
        for number in range(10):
            site.apply("change", service(f"change-{number}", [number + 1]))
            await in_step(others, snapshots(site.control.policies, nodes))
        stalled.goes_on.set()
        await in_step([stalled], snapshots(site.control.policies, nodes))

        # Per type one response that waited for an answer and one that followed; endpoints come once more per cluster.
        assert stalled.responses.total() - before <= 2 * 3 + 1
        assert [other.streams for other in others] == ended


async def test_malformed_messages_end_their_own_stream_only(site: Site) -> None:
    """Garbage, cut and bloated requests on a hundred streams; nobody else notices, and no traceback is logged."""
    nodes = [node_id(number) for number in range(4)]
    choice = random.Random(5)  # the same garbage in every run
    good = discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, resource_names_subscribe=["a"])
    good.node.id = "garbage"
    async with fleet(site.control.xds_port, 4) as proxies:
        await in_step(proxies, snapshots(site.control.policies, nodes))
        ended = [proxy.streams for proxy in proxies]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{site.control.xds_port}") as to_server:
            endings = [
                await _ending(to_server, choice.choice([DELTA, SOTW]), _malformed(choice, good.SerializeToString()))
                for _ in range(100)
            ]
        site.apply("after", service("after", [9]))
        await in_step(proxies, snapshots(site.control.policies, nodes))

    assert set(endings) <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OK}
    assert grpc.StatusCode.INVALID_ARGUMENT in endings
    assert [proxy.streams for proxy in proxies] == ended
    assert not re.search("Traceback|stream failed", site.control.log_file.read_text())


def _malformed(choice: random.Random, good: bytes) -> bytes:
    kind = choice.randrange(4)
    if kind == 0:
        return choice.randbytes(choice.randrange(200))
    if kind == 1:
        return good[: choice.randrange(len(good))]
    if kind == 2:
        return b"\x12\x06\xff\xfe\xfd\xfc\xfb\xfa" + good
    at = choice.randrange(len(good))
    return good[:at] + choice.randbytes(3) + good[at:]


async def _ending(to_server: grpc.aio.Channel, path: str, data: bytes) -> grpc.StatusCode:
    call: Any = to_server.stream_stream(path)()
    await call.write(data)
    await call.done_writing()
    async with asyncio.timeout(PATIENCE):
        return await call.code()


async def test_proxies_that_come_and_go_leave_nothing_behind(site: Site) -> None:
    """Hundreds of connections: descriptors are as before, and the second half of them adds next to no memory."""
    process = site.process
    await _connect_and_leave(site)
    before, memory = process.descriptors, []
    for _ in range(CYCLES):
        await _connect_and_leave(site)
        memory.append(process.memory())
    await until(lambda: process.descriptors <= before)

    half = CYCLES // 2
    assert memory[-1] - memory[half] < AT_ONCE * half * 16 << 10, "well below what one connection takes"


async def _connect_and_leave(site: Site) -> None:
    nodes = [node_id(number) for number in range(AT_ONCE)]
    async with fleet(site.control.xds_port, AT_ONCE) as proxies:
        await in_step(proxies, snapshots(site.control.policies, nodes))


async def test_streams_that_come_and_go_leave_no_task_and_no_object_behind() -> None:
    """Seen from inside: as many tasks and, of our own classes, as many objects as before."""
    async with serving(cluster("a")) as server:
        await _come_and_go(server, 5)
        before = _living()
        await _come_and_go(server, 200)

        assert _living() == before


async def _come_and_go(server: Any, count: int) -> None:
    tasks = len(asyncio.all_tasks())
    for path in (SOTW, DELTA):
        for _ in range(count):
            async with channel(server) as opened:
                client = Client(opened, path)
                await client.ask(CLUSTER)
                await client.ack(await client.response())
    await until(lambda: server.board.totals().open == 0 and len(asyncio.all_tasks()) <= tasks)


def _living() -> int:
    gc.collect()
    return sum(str(type(one).__module__).startswith("xds_server.") for one in gc.get_objects())


async def test_a_node_of_twenty_thousand_long_names_reconnects() -> None:
    """Its request has 5 MB, more than gRPC would take by default, and nothing is sent to it again."""
    names = [f"outbound|80||{'long-name-' * 22}{number:05}.svc" for number in range(20_000)]
    async with serving(*map(cluster, names)) as server, channel(server) as opened:
        held = dict.fromkeys(names, "1")
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER, initial_resource_versions=held)
        request.node.id = "big"
        data = request.SerializeToString()
        assert len(data) > 4 << 20
        client = Client(opened, DELTA)
        await client.send_bytes(data)
        server.publish(*map(cluster, names), cluster("new"))
        response = await client.response()

    assert [resource.name for resource in response.resources] == ["new"]
