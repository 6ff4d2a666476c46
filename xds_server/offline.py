"""The pipeline run once over files, without a server: what `check` and `render` look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xds_server.mesh.workload import Workload
from xds_server.pipeline import Generation, Pipeline
from xds_server.store.directory import Rules, read_policies
from xds_server.xds.snapshot import Snapshot


class Offline:
    """The policies at some paths, compiled.

    Attributes:
        generation: documents in force, and every problem.
    """

    def __init__(self, paths: Sequence[Path], default_namespace: str) -> None:
        self._pipeline = Pipeline()
        reading = read_policies(paths, rules=Rules(default_namespace=default_namespace))
        self.generation: Generation = self._pipeline.compile(reading.policies)

    def snapshot_for(self, workload: Workload) -> Snapshot:
        """What a server with these policies would send to `workload`."""
        return self._pipeline.snapshot_for(self.generation, workload)
