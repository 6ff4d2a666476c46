"""Which process listens where, and the policy files that say so to the mesh.

The files are made once, in the demo's own directory; after that they are the user's to edit.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

WORKERS = ("worker-1", "worker-2", "worker-3")
CLUSTER = "outbound|80||worker-service"


@dataclass(frozen=True, slots=True)
class Sidecar:
    """An application and the Envoy beside it; all on loopback.

    Attributes:
        app_port: where the application listens.
        inbound_port: where its Envoy takes calls for it.
        proxy_port: where its Envoy takes the application's own calls (`http_proxy`).
        admin_port: its Envoy's admin interface.
    """

    name: str
    app: str
    version: str
    app_port: int
    inbound_port: int
    proxy_port: int
    admin_port: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Every port of one demo.

    Attributes:
        collector_port: takes the Envoys' spans, and so does the one after it by HTTP.
        telemetry_port: where xds-server takes log entries, and spans from the collector; it has the one after it too.
    """

    xds_port: int
    debug_port: int
    collector_port: int
    telemetry_port: int
    webhook_handler: Sidecar
    workers: tuple[Sidecar, ...]

    def spans_port(self, *, collector: bool) -> int:
        """Where spans are sent: to the collector, or to xds-server itself where there is none."""
        return self.collector_port if collector else self.telemetry_port

    @property
    def sidecars(self) -> tuple[Sidecar, ...]:
        """All of them, the caller first."""
        return self.webhook_handler, *self.workers


def layout() -> Layout:
    """Ports that are free now, the well-known ones where they are."""
    taken: set[int] = set()
    xds_port, debug_port = free_port(taken, 15010), free_port(taken, 15014)

    def sidecar(name: str, app: str, version: str, base: int) -> Sidecar:
        ports = [free_port(taken, base + offset) for offset in range(4)]
        return Sidecar(name, app, version, *ports)

    return Layout(
        xds_port,
        debug_port,
        port_pair(taken, 4317),
        port_pair(taken, 4319),
        sidecar("webhook-handler", "webhook-handler", "v1", 18000),
        tuple(
            sidecar(name, "worker", "v2" if name == WORKERS[-1] else "v1", 18010 + 10 * index)
            for index, name in enumerate(WORKERS)
        ),
    )


def port_pair(taken: set[int], preferred: int) -> int:
    """The first of two free ports in a row, `preferred` and the next if nobody has them; both added to `taken`."""
    first = free_port(taken, preferred)
    while free_port(taken, first + 1) != first + 1:
        first = free_port(taken, 0)
    return first


def free_port(taken: set[int], preferred: int) -> int:
    """`preferred` if nobody has it, else any free port; added to `taken`."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            if found not in taken:
                taken.add(found)
                return found
    return free_port(taken, 0)


def write_policies(directory: Path, demo: Layout, *, collector: bool) -> None:
    """Write the policies of the demo: who is there, whether a collector is, and how calls to worker-service behave."""
    directory.mkdir(parents=True, exist_ok=True)
    documents = [_service("worker-service", "worker"), _service("webhook-handler", "webhook-handler")]
    documents += [_workload(sidecar) for sidecar in demo.sidecars]
    (directory / "services.yaml").write_text("---\n".join(documents))
    (directory / "worker-service.yaml").write_text(worker_policies())
    ports = {"spans": demo.spans_port(collector=collector), "entries": demo.telemetry_port}
    (directory / "telemetry.yaml").write_text(_TELEMETRY.format(**ports))


def worker_policies(
    *, weights: tuple[int, int] | None = None, retries: str = "{attempts: 0}", timeout: str = "10s"
) -> str:
    """worker-service.yaml: round robin to everybody, or `weights` for version v1 and v2."""
    plain = "    - destination: {host: worker-service}\n"
    shares = weights and (
        f"    - destination: {{host: worker-service, subset: v1}}\n      weight: {weights[0]}\n"
        f"    - destination: {{host: worker-service, subset: v2}}\n      weight: {weights[1]}\n"
    )
    return _WORKER_POLICIES.format(routes=shares or plain, retries=retries, timeout=timeout)


_WORKER_POLICIES = """\
# How calls to http://worker-service/ behave. Edit and save: traffic follows at once.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: worker-service}}
spec:
  hosts: [worker-service]
  http:
  - route:
{routes}    retries: {retries}
    timeout: {timeout}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: worker-service}}
spec:
  host: worker-service
  trafficPolicy:
    loadBalancer: {{simple: ROUND_ROBIN}}
    outlierDetection: {{consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 3s, maxEjectionPercent: 50}}
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
"""


_TELEMETRY = """\
# Every request is traced and logged. Spans go to a collector, which passes them on to xds-server: see /traces. Log
# entries go to xds-server: see xds-server logs --follow.
kind: MeshConfig
extensionProviders:
- {{name: spans, opentelemetry: {{service: collector, port: 80}}}}
- {{name: entries, envoyHttpAls: {{service: xds-server, port: 80}}}}
defaultProviders: {{tracing: [spans], accessLogging: [entries]}}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: all}}
spec:
  tracing: [{{randomSamplingPercentage: 100}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: collector}}
spec:
  hosts: [collector]
  # Below 1024, so that no Envoy of this one machine opens the port on loopback for its application.
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {spans}}}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: xds-server}}
spec:
  hosts: [xds-server]
  ports: [{{number: 80, name: grpc, protocol: GRPC}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{grpc: {entries}}}}}]
"""


def _service(host: str, app: str) -> str:
    return f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  ports:
  - {{number: 80, name: http, protocol: HTTP}}
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {{labels: {{app: {app}}}}}
"""


def _workload(sidecar: Sidecar) -> str:
    """The WorkloadEntry (where others reach it) and the Sidecar (where its Envoy hands over) of one application."""
    labels = f"{{app: {sidecar.app}, version: {sidecar.version}, instance: {sidecar.name}}}"
    return f"""\
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {sidecar.name}}}
spec:
  address: 127.0.0.1
  ports: {{http: {sidecar.inbound_port}}}
  labels: {labels}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {sidecar.name}}}
spec:
  workloadSelector: {{labels: {{instance: {sidecar.name}}}}}
  ingress:
  - port: {{number: {sidecar.inbound_port}, name: http, protocol: HTTP}}
    bind: 127.0.0.1
    defaultEndpoint: 127.0.0.1:{sidecar.app_port}
"""
