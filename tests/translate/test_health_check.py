"""Active health checks, as Envoy is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3

from tests.builders import backend, service
from xds_server.mesh.health_check import HealthCheck, Probe
from xds_server.mesh.service import Endpoint, Service
from xds_server.translate.cluster import clusters
from xds_server.translate.health_check import endpoint_check, health_checks


def probed(check: HealthCheck = HealthCheck(Probe.TCP)) -> Service:
    return replace(service(), health_check=check)


def only(check: HealthCheck, *, http2: bool = False) -> core_v3.HealthCheck:
    (found,) = health_checks(probed(check), http2=http2)
    return found


def test_times_and_thresholds_are_passed_on_and_hold_without_traffic_too() -> None:
    found = only(HealthCheck(Probe.TCP, timeout=timedelta(seconds=2), interval=timedelta(seconds=3), failures=5))

    assert (found.timeout, found.interval, found.no_traffic_interval) == (
        timedelta(seconds=2),
        timedelta(seconds=3),
        timedelta(seconds=3),
    )
    assert (found.healthy_threshold, found.unhealthy_threshold) == (1, 5)


def test_http_check_asks_for_the_path_under_the_name_of_the_service() -> None:
    found = only(HealthCheck(Probe.HTTP, path="/ready", headers=(("a", "b"),))).http_health_check

    assert found is not None
    assert (found.host, found.path) == ("reviews", "/ready")
    assert [(each.start, each.end) for each in found.expected_statuses] == [(200, 400)]


def test_one_bad_status_is_one_failure_and_no_more() -> None:
    """Envoy would pass over the threshold for a status that is neither expected nor named here."""
    found = only(HealthCheck(Probe.HTTP)).http_health_check

    assert found is not None
    assert [(each.start, each.end) for each in found.retriable_statuses] == [(100, 200), (400, 600)]


@pytest.mark.parametrize("http2", [True, False])
def test_grpc_check_is_made_where_http2_is_spoken(http2: bool) -> None:
    """Elsewhere Envoy would refuse the cluster."""
    found = only(HealthCheck(Probe.GRPC, grpc_service="s"), http2=http2)

    assert (found.grpc_health_check is not None) is http2
    assert (found.tcp_health_check is None) is http2


def test_endpoint_of_no_probed_group_is_not_checked() -> None:
    found = endpoint_check(probed(), Endpoint("10.0.0.1"))

    assert found is not None
    assert found.disable_active_health_check


def test_endpoint_is_checked_at_its_own_port() -> None:
    found = endpoint_check(probed(), Endpoint("10.0.0.1", health_port=9000))

    assert found is not None
    assert found.port_value == 9000


def test_service_without_a_probe_is_not_checked() -> None:
    assert health_checks(service(), http2=False) == []
    assert endpoint_check(service(), Endpoint("10.0.0.1")) is None


def test_endpoint_that_is_gone_is_not_sent_to_until_its_check_fails() -> None:
    (resource,) = clusters(backend(probed()))
    cluster = cluster_v3.Cluster.parse(resource.body)

    assert len(cluster.health_checks) == 1
    assert cluster.ignore_health_on_host_removal
