"""A server whose whole fleet comes back at once after it was killed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.envoy.running import Control
from tests.faults.fleet import fleet, in_step, node_id
from tests.faults.policies import pool, route, save, service, snapshots
from tests.faults.site import Process


@dataclass(frozen=True)
class Herd:
    """What came of it.

    Attributes:
        ready: seconds from the start of the new server until it was ready.
        in_step: seconds from then until every proxy held the change that was made while the server was down.
        peak: most bytes of memory (RSS) that the new server had until then.
        steady: bytes of memory of the old server with all proxies connected.
    """

    ready: float
    in_step: float
    peak: int
    steady: int


async def herd(directory: Path, *, proxies: int, services: int) -> Herd:
    """Kill a server of `proxies` proxies, each on a connection of its own, and start another after a change.

    Raises:
        AssertionError: a proxy did not come to hold exactly its snapshot.
    """
    nodes = [node_id(number) for number in range(proxies)]
    (directory / "policies").mkdir()
    for number in range(services):
        name = f"s{number}"
        save(directory / "policies" / f"{name}.yaml", service(name, [9, 10]) + route(name, name) + pool(name, 7))
    control = await asyncio.to_thread(Control, directory, "--log-level", "warning")
    loop = asyncio.get_running_loop()
    try:
        async with fleet(control.xds_port, proxies) as connected:
            await in_step(connected, snapshots(control.policies, nodes))
            steady = Process(control.pid).memory()
            control.kill()
            control.write("s0.yaml", service("s0", [11, 12]) + route("s0", "s0") + pool("s0", 8))
            began = loop.time()
            await asyncio.to_thread(control.start)
            ready = loop.time()
            await in_step(connected, snapshots(control.policies, nodes))
            settled = loop.time()
            peak = Process(control.pid).memory("VmHWM")
    finally:
        await asyncio.to_thread(control.close)
    return Herd(ready - began, settled - ready, peak, steady)
