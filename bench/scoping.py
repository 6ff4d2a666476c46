"""What a Sidecar saves: bytes that one proxy is sent, and bytes that the server holds for a fleet, at 1,000 services.

python -m bench.scoping
"""

from __future__ import annotations

from collections.abc import Iterator

from xds_server.mesh.workload import Workload
from xds_server.pipeline import Generation, Pipeline
from xds_server.policy.document import Document, PolicySet, parse_document, precedence
from xds_server.store.yaml_reader import read_documents
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import PUSH_ORDER

SERVICES, NAMESPACES, ENDPOINTS, PROXIES = 1000, 50, 3, 1000
SCOPED = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec: {egress: [{hosts: ["./*"]}]}
"""


def documents(text: str) -> list[Document]:
    """Those of a YAML text."""
    parsed = (parse_document(raw, "default")[0] for raw in read_documents(text, "bench.yaml")[0])
    return [document for document in parsed if document is not None]


def services(namespaces: int = NAMESPACES) -> Iterator[Document]:
    """Equally many in each namespace, each with three endpoints on an HTTP port."""
    for number in range(SERVICES):
        endpoints = ", ".join(f"{{address: 10.{number // 250}.{number % 250}.{n}}}" for n in range(ENDPOINTS))
        yield from documents(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n"
            f"metadata: {{name: service-{number}, namespace: team-{number % namespaces}}}\n"
            f"spec: {{hosts: [service-{number}], ports: [{{number: 80, name: http, protocol: HTTP}}], "
            f"location: MESH_INTERNAL, resolution: STATIC, endpoints: [{endpoints}]}}\n"
        )


def policies(*, scoped: bool, namespaces: int = NAMESPACES) -> PolicySet:
    """The services, and with `scoped` one Sidecar in the root namespace that shows each namespace only its own."""
    found = [*services(namespaces), *(documents(SCOPED) if scoped else ())]
    return PolicySet(tuple(sorted(found, key=precedence)))


def fleet(pipeline: Pipeline, generation: Generation) -> list[Snapshot]:
    """The snapshots of proxies, equally many in each namespace."""
    workloads = (Workload(f"proxy-{number}", f"team-{number % NAMESPACES}") for number in range(PROXIES))
    return [pipeline.snapshot_for(generation, workload) for workload in workloads]


def size(snapshot: Snapshot) -> int:
    """Bytes of all resources."""
    return sum(len(found.body) for url in PUSH_ORDER for found in snapshot.of_type(url).values())


def main() -> None:
    """Print the table."""
    print(f"{SERVICES} services in {NAMESPACES} namespaces, {PROXIES} proxies")
    print(f"{'':<24}{'per proxy, KB':>14}{'resources':>12}{'snapshots':>12}{'held, KB':>12}")
    for name, scoped in (("everything visible", False), ("Sidecar, egress ./*", True)):
        pipeline = Pipeline()
        snapshots = fleet(pipeline, pipeline.compile(policies(scoped=scoped)))
        different = {id(snapshot): snapshot for snapshot in snapshots}
        bodies = {id(r.body): r.body for s in different.values() for url in PUSH_ORDER for r in s.of_type(url).values()}
        resources = sum(len(snapshots[0].of_type(url)) for url in PUSH_ORDER)
        held = sum(map(len, bodies.values()))
        mean = sum(map(size, snapshots)) / len(snapshots)
        print(f"{name:<24}{mean / 1e3:>14.1f}{resources:>12}{len(different):>12}{held / 1e3:>12.1f}")


if __name__ == "__main__":
    main()
