"""Who a reporting proxy is, in the mesh that is in force."""

from __future__ import annotations

from tests.builders import compiled, entry, istio
from xds_server.debug.traffic_metrics import traffic_exposition
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.workload import Workload
from xds_server.server.hub import Peer, Proxy
from xds_server.signals.edge import Teller
from xds_server.signals.window import rows
from xds_server.traffic import Traffic
from xds_server.xds.messages import Node


def mesh(host: str) -> Mesh:
    """A mesh with one service, whose endpoint listens on port 80."""
    return compiled(entry(host, "resolution: STATIC, endpoints: [{address: 10.0.0.1}]"))[0]


def test_ports_belong_to_the_services_of_the_mesh_in_force() -> None:
    """Also when that changes while the proxy is connected; a port that no service has is the workload's own."""
    now: list[Mesh] = []
    traffic = Traffic(
        9,
        0,
        workload_of=lambda proxy: Workload(proxy.node.id, "default", addresses=("10.0.0.1",)),
        mesh=lambda: now[-1] if now else None,
        clock=lambda: 5.0,
    )
    report = traffic.open(Proxy(Node("web-1"), Peer("ipv4:10.0.0.1:5")))
    for following in (None, mesh("old.example.com"), mesh("new.example.com")):
        now.extend([following] if following else [])
        report.begin()
        report.count("http.inbound_0.0.0.0_80;.downstream_rq_2xx", 1)

    assert [row.edge.destination for row in rows(traffic.sight())] == ["new.example.com", "old.example.com", "web-1"]


def test_workloads_are_told_apart_by_the_labels_that_policies_about_metrics_name_and_by_no_others() -> None:
    """Also by those of its WorkloadEntry: who was started without labels does not slip from under a policy by it."""
    measured = istio("Telemetry", "selector: {matchLabels: {app: web}}, metrics: [{overrides: [{disabled: true}]}]")
    here = "resolution: STATIC, endpoints: [{address: 10.0.0.1, labels: {app: web, tier: front}}]"
    found = compiled(entry("web.example.com", here), measured)[0]
    workload = Workload("web-1", "default", addresses=("10.0.0.1",))
    traffic = Traffic(9, 0, workload_of=lambda _: workload, mesh=lambda: found, clock=lambda: 5.0)

    report = traffic.open(Proxy(Node("web-1"), Peer("ipv4:10.0.0.1:5")))
    report.begin()
    report.count("cluster.outbound|80||api;.upstream_rq_2xx", 1)

    ((_, teller),) = traffic.sight().tallies
    assert teller == Teller("default", ("app",), (("app", "web"),))
    assert "mesh_requests_total{" not in traffic_exposition(traffic.sight(), found.telemetry).decode()
