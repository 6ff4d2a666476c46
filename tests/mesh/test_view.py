"""What one workload may see, and which workloads see the same."""

from __future__ import annotations

from tests.builders import compiled, entry, istio, workload
from xds_server.mesh.view import view_for

BY_RACK = istio(
    "DestinationRule",
    "host: reviews, trafficPolicy: {outlierDetection: {},"
    ' loadBalancer: {localityLbSetting: {failoverPriority: [rack, "tier=fast"]}}}',
)


def test_workloads_share_a_view_unless_failover_priority_tells_them_apart() -> None:
    mesh, _ = compiled(entry(), BY_RACK)
    one = view_for(mesh, workload(rack="1", app="a", tier="slow"))

    assert one.labels == (("rack", "1"),)
    assert view_for(mesh, workload(rack="1", app="b", tier="fast")) == one
    assert view_for(mesh, workload(rack="2", app="a", tier="slow")) != one


def test_labels_that_no_policy_asks_for_are_in_no_view() -> None:
    mesh, _ = compiled(entry())

    assert view_for(mesh, workload(rack="1")) == view_for(mesh, workload(rack="2"))
