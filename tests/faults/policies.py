"""Policies of meshes to break, and the snapshots that a proxy should hold of them, made without the server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from xds_server.mesh.workload import workload
from xds_server.offline import Offline
from xds_server.xds.snapshot import Snapshot


def service(host: str, ports: Sequence[int]) -> str:
    """A ServiceEntry with an endpoint on loopback for each of `ports`."""
    endpoints = "".join(f"  - {{address: 127.0.0.1, ports: {{http: {port}}}}}\n" for port in ports)
    return f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints:
{endpoints}---
"""


def route(host: str, to: str, *, timeout: int = 0) -> str:
    """A VirtualService that sends all requests for `host` to `to` and never tries one again."""
    more = f", timeout: {timeout}s" if timeout else ""
    return f"""\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  http: [{{route: [{{destination: {{host: {to}}}}}], retries: {{attempts: 0}}{more}}}]
---
"""


def pool(host: str, connections: int) -> str:
    """A DestinationRule that changes the cluster of `host`."""
    return f"""\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host}}}
spec:
  host: {host}
  trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {connections}}}}}}}
---
"""


def save(path: Path, text: str) -> None:
    """Write a file as an editor does that renames."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.replace(path)


def snapshots(policies: Path, node_ids: Iterable[str]) -> dict[str, Snapshot]:
    """What each node should hold of the policies as they are on disk, by node id: what `render` says."""
    offline = Offline([policies], "default")
    return {node: offline.snapshot_for(workload(node, default_namespace="default", metadata={})) for node in node_ids}
