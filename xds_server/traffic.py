"""Wires `signals/` to the port, to the mesh and to the debug endpoints: who reports, and what came of it lately."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from xds_server.mesh.mesh import Mesh
from xds_server.mesh.view import selected_by, served_ports
from xds_server.mesh.workload import Workload
from xds_server.server.hub import Proxy
from xds_server.signals.edge import Reporter, Teller, reporter
from xds_server.signals.ledger import Ledger, Report
from xds_server.signals.window import STEP, Sight, Window


class Traffic:
    """What connected proxies tell of their traffic.

    Args:
        limit: of edges; see `Ledger`.
        new_for: seconds; see `Window`.
        workload_of: the workload behind a proxy, as it proved.
        mesh: in force now; None when none is.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        limit: int,
        new_for: float,
        *,
        workload_of: Callable[[Proxy], Workload],
        mesh: Callable[[], Mesh | None],
        clock: Callable[[], float],
    ) -> None:
        self._ledger = Ledger(limit)
        self._window = Window(self._ledger, clock(), new_for)
        self._workload_of = workload_of
        self._mesh = mesh
        self._clock = clock

    def open(self, proxy: Proxy) -> Report:
        """See `metrics_sink.Open`."""
        who = _Who(self._workload_of(proxy), self._mesh)
        return self._ledger.open(who.now)

    def sight(self) -> Sight:
        """Everything as it is now."""
        return self._window.sight(self._clock())

    async def run(self) -> None:
        """Mark the time until cancelled."""
        while True:
            await asyncio.sleep(STEP)
            self._window.mark(self._clock())


class _Who:
    """A proxy, whose ports belong to other services when the mesh has changed, and whom other policies select."""

    def __init__(self, workload: Workload, mesh: Callable[[], Mesh | None]) -> None:
        self._workload = workload
        self._mesh = mesh
        self._seen: Mesh | None = None
        self._reporter = reporter(workload, {}, Teller(workload.namespace))

    def now(self) -> Reporter:
        """As it is in the mesh in force; the same object while that is the same."""
        mesh = self._mesh()
        if mesh is not None and mesh is not self._seen:
            self._seen = mesh
            self._reporter = reporter(self._workload, served_ports(mesh, self._workload), self._teller(mesh))
        return self._reporter

    def _teller(self, mesh: Mesh) -> Teller:
        keys = mesh.telemetry.measured_by
        labels = selected_by(mesh, self._workload) if keys else ()
        return Teller(self._workload.namespace, keys, tuple(pair for pair in labels if pair[0] in keys))
