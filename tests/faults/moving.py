"""A route that moves from service to service under load, each of them new with the move and gone after the next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.envoy.running import Envoy, free_port, until
from tests.faults.policies import route, save, service
from tests.faults.traffic import Flow, Traffic
from tests.server.loopback import Server, started
from xds_server.bootstrap import Api, NodeOptions, bootstrap
from xds_server.errors import ProtocolViolation
from xds_server.mesh.workload import Interception
from xds_server.pipeline import Pipeline
from xds_server.render import node_workload
from xds_server.server.listen import ListenOptions
from xds_server.settings import Address
from xds_server.store.directory import read_policies
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

HOST = "moved"


@dataclass(frozen=True)
class Moved:
    """What came of some moves.

    Attributes:
        failed: requests that were not answered with 200: how, and how often.
        rate: requests a second.
    """

    requests: int
    failed: dict[str, int]
    rate: float


@dataclass(frozen=True)
class Mover:
    """Puts the moves in force, and waits until each is done."""

    server: Server
    envoy: Envoy
    options: NodeOptions
    directory: Path
    pipeline: Pipeline
    cut_off: bool

    def move(self, number: int, port: int) -> None:
        """One consistent snapshot in which `HOST` goes to service `number`, and no other service is left.

        With `cut_off` Envoy's stream ends first, so that it finds all that when it is back.
        """
        to = f"to-{number}"
        save(self.directory / "moved.yaml", service(HOST, [port]) + service(to, [port]) + route(HOST, to))
        if self.cut_off:
            self.server.hub.refuse_all(ProtocolViolation("UNAVAILABLE", "cut off"))
        self.server.publish(*_resources(self._snapshot()))

    def _snapshot(self) -> Snapshot:
        node = node_workload(bootstrap(self.options), "default", "bootstrap")
        return self.pipeline.snapshot_for(self.pipeline.compile(read_policies(self.directory).policies), node)

    async def arrived(self, number: int, flow: Flow | None = None) -> None:
        """Wait until the service answers and the one before is gone from Envoy."""
        seen = flow.bodies[str(number)] if flow else 0
        await asyncio.to_thread(
            until,
            lambda: (
                (flow.bodies[str(number)] > seen + 300 if flow else self.envoy.call(HOST).status == 200)
                and not self.envoy.stats(rf"^cluster\.outbound.80..to-{number - 1}\.membership_total")
            ),
            what=f"requests go to service {number} and nowhere else",
        )


async def moves(
    binary: Path,
    directory: Path,
    traffic: Traffic,
    api: Api,
    *,
    gate: bool,
    count: int,
    rate: float = 3000,
    cut_off: bool = False,
) -> Moved:
    """Move `count` times under `rate` requests a second over eight connections; `gate` is `ListenOptions.gate`.

    With `cut_off` each move happens while Envoy is away.
    """
    server = Server()
    options = ListenOptions(gate=gate)
    ports = [traffic.backend(str(number)) for number in range(count + 1)]
    (directory / "policies").mkdir(parents=True)
    async with started(server, options=options):
        node = NodeOptions(
            metrics_interval=0,
            name="caller",
            interception=Interception.NONE,
            http_proxy_port=free_port(),
            xds=(Address("127.0.0.1", server.listener.port),),
            admin_port=free_port(),
            api=api,
        )
        envoy = Envoy(binary, directory, node)
        try:
            mover = Mover(server, envoy, node, directory / "policies", Pipeline(), cut_off)
            mover.move(0, ports[0])
            await mover.arrived(0)
            return await _under_load(mover, traffic, ports, rate)
        finally:
            await asyncio.to_thread(envoy.close)


async def _under_load(mover: Mover, traffic: Traffic, ports: list[int], rate: float) -> Moved:
    loop = asyncio.get_running_loop()
    with traffic.flow(mover.envoy.proxy_port, HOST, rate=rate, connections=8) as flow:
        began = loop.time()
        for number, port in enumerate(ports[1:], 1):
            mover.move(number, port)
            await mover.arrived(number, flow)
        rate = flow.total / (loop.time() - began)
    return Moved(flow.total, flow.failed, rate)


def _resources(snapshot: Snapshot) -> list[Resource]:
    return [resource for named in snapshot.by_type.values() for resource in named.values()]
