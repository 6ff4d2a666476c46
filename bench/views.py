"""What connected sidecars cost by the number of their views, at 1,000 services.

    python -m bench.views [--streams 1000] [--connections 100]

Without a Sidecar all of them see everything: one view. With one that shows each namespace its own services, there are
as many views as namespaces. Each proxy has a certificate of its own, as it has where the xDS port is secure, and
subscribes to clusters, endpoints, listeners and routes by a delta stream. Each arrangement stands in a process of its
own.

A snapshot is one translation; a body is one response encoded. Memory is what the server has more of when all of them
are connected than when it had made every snapshot (resident, with gRPC's own buffers).
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from bench.fanout import Ours, fleet
from bench.memory import Usage
from bench.scoping import SERVICES, policies, size
from xds_server.mesh.workload import workload
from xds_server.pipeline import Pipeline
from xds_server.server import wire
from xds_server.server.hub import Proxy
from xds_server.xds.messages import DeltaResponse, SotwResponse
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import SECRET

ARRANGEMENTS = ((1, False), (3, True), (50, True))
"""(namespaces, whether a Sidecar shows each only its own)."""
HEADINGS = ("views", "snapshots", "KB per proxy", "responses", "bodies", "sent MB", "encoded MB", "memory KB per proxy")


class Counted(wire.Bodies):
    """Bodies, with what was made and what was sent of them."""

    made = encoded = responses = sent = 0

    def of(self, response: SotwResponse | DeltaResponse) -> bytes:
        """See Bodies."""
        body = super().of(response)
        Counted.responses += 1
        Counted.sent += len(body)
        return body

    def _said(self, response: SotwResponse | DeltaResponse) -> Any:
        said = super()._said(response)
        Counted.made += 1
        Counted.encoded += len(said.content)
        return said


class Views(Ours):
    """A server whose proxies are given what policies say."""

    def __init__(self, *_: Resource) -> None:
        super().__init__()
        self.snapshots: dict[int, Snapshot] = {}

    def policies(self, namespaces: int, *, scoped: bool) -> None:
        """Compile them and make every snapshot."""
        self._pipeline = Pipeline()
        self._compiled = self._pipeline.compile(policies(scoped=scoped, namespaces=namespaces))
        for number in range(namespaces):
            self._shared(f"sidecar~10.200.0.0~proxy.team-{number}~local")

    def _shared(self, node_id: str) -> Snapshot:
        found = self._pipeline.snapshot_for(self._compiled, workload(node_id, default_namespace="default"))
        return self.snapshots.setdefault(id(found), found)

    async def _snapshots_for(self, proxies: Sequence[Proxy]) -> Sequence[Snapshot]:
        ids = [proxy.node.id for proxy in proxies]
        return [self._shared(each).with_secrets([Resource(SECRET, "default", each, each.encode())]) for each in ids]


async def measured(namespaces: int, streams: int, connections: int, *, scoped: bool) -> tuple[object, ...]:
    """One row of the table."""
    server = await Views.started()
    server.policies(namespaces, scoped=scoped)
    alone = Usage.now()
    async with fleet(server, streams=streams, connections=connections, namespaces=namespaces):
        memory = (Usage.now().resident - alone.resident) / streams / 1e3
    while server.streams():  # noqa: ASYNC110  # the last streams end a moment after the fleet's process
        await asyncio.sleep(0.01)
    await server.stop()
    mean = sum(size(snapshot) for snapshot in server.snapshots.values()) / len(server.snapshots) / 1e3
    sent, encoded = Counted.sent / 1e6, Counted.encoded / 1e6
    return (
        namespaces if scoped else 1,
        len(server.snapshots),
        mean,
        Counted.responses,
        Counted.made,
        sent,
        encoded,
        memory,
    )


def line(cells: Sequence[Any]) -> str:
    """A row of the table."""
    texts = (f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells)
    return "".join(text.rjust(len(heading) + 3) for text, heading in zip(texts, HEADINGS, strict=True))


def main() -> None:
    """Parse the arguments and measure: every arrangement, each in its process, unless one is named."""
    parser = argparse.ArgumentParser(prog="python -m bench.views", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--arrangement", type=int, choices=range(len(ARRANGEMENTS)))
    arguments = parser.parse_args()
    if arguments.arrangement is not None:
        wire.Bodies = Counted  # type: ignore[misc]  # the server makes its own: this is how it makes a counted one
        namespaces, scoped = ARRANGEMENTS[arguments.arrangement]
        print(line(asyncio.run(measured(namespaces, arguments.streams, arguments.connections, scoped=scoped))))
        return
    print(f"{SERVICES} services, {arguments.streams} proxies\n{line(HEADINGS)}", flush=True)
    for number in range(len(ARRANGEMENTS)):
        command = [sys.executable, "-m", "bench.views", *sys.argv[1:], "--arrangement", str(number)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
