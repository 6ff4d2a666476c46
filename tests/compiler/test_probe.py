"""The probe of a WorkloadGroup, and which endpoints it is for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.builders import codes, compiled, document, entry, istio, policy_set
from xds_server.compiler.probe import health_check
from xds_server.mesh.health_check import HealthCheck, Probe
from xds_server.mesh.registration import Registration
from xds_server.mesh.service import Service
from xds_server.pipeline import Pipeline

WEB = entry("web", "workloadSelector: {labels: {app: web}}")


def group(probe: str, name: str = "workers") -> str:
    more = f", {probe}" if probe else ""
    spec = f"metadata: {{labels: {{app: web}}}}, template: {{ports: {{http: 8080}}}}{more}"
    return istio("WorkloadGroup", spec, name=name)


def check(probe: str) -> HealthCheck | None:
    return health_check((document(group(f"probe: {{{probe}}}")),)).value


def test_everything_is_taken() -> None:
    found = check(
        "timeoutSeconds: 2, periodSeconds: 3, successThreshold: 4, failureThreshold: 5, "
        "httpGet: {port: 8080, path: /ready, host: h, httpHeaders: [{name: A, value: b}]}"
    )

    assert found == HealthCheck(
        Probe.HTTP, "h", "/ready", (("A", "b"),), "", timedelta(seconds=2), timedelta(seconds=3), 4, 5
    )


@pytest.mark.parametrize(
    ("probe", "kind"),
    [
        ("httpGet: {port: 1}", Probe.HTTP),
        ("httpGet: {port: 1, scheme: HTTPS}", Probe.TCP),
        ("tcpSocket: {port: 1}", Probe.TCP),
        ("grpc: {port: 1}", Probe.GRPC),
    ],
)
def test_defaults_are_istios(probe: str, kind: Probe) -> None:
    """1 s of patience, every 10 s, one success, three failures."""
    assert check(probe) == HealthCheck(kind)


def service(*texts: str, registrations: tuple[Registration, ...]) -> Service:
    (found,) = Pipeline().compile(policy_set(WEB, *texts), registrations).mesh.services
    return found


def test_endpoints_of_the_probed_group_alone_are_checked() -> None:
    found = service(
        group("probe: {tcpSocket: {port: 9000}}"),
        istio("WorkloadEntry", "address: 10.0.0.9, labels: {app: web}", name="vm"),
        registrations=(Registration("default", "workers", "10.0.0.1"),),
    )

    assert found.health_check == HealthCheck(Probe.TCP)
    assert {e.address: e.health_port for e in found.endpoints} == {"10.0.0.1": 9000, "10.0.0.9": 0}


def test_workload_with_another_number_for_the_probed_port_is_checked_there() -> None:
    found = service(
        group("probe: {httpGet: {port: 8080}}"),
        registrations=(Registration("default", "workers", "127.0.0.1", (("http", 40001),)),),
    )

    assert [endpoint.health_port for endpoint in found.endpoints] == [40001]


def test_second_group_with_another_probe_is_told_to_go_unprobed() -> None:
    """Envoy makes one check for all endpoints of a cluster."""
    groups = group("probe: {tcpSocket: {port: 1}}", "a") + group("probe: {httpGet: {port: 1}}", "b")
    _, problems = compiled(WEB + groups)
    found = service(groups, registrations=(Registration("default", "b", "10.0.0.1"),))

    assert codes(problems) == ["second-probe"]
    assert [endpoint.health_port for endpoint in found.endpoints] == [0]


def test_group_without_a_probe_asks_for_no_check() -> None:
    assert service(group(""), registrations=()).health_check is None
