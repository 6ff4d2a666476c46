"""What the probe of a WorkloadGroup means.

Istio lets the agent beside each workload probe it. Here every caller does, by Envoy's active health checks: they see
the network too, and nothing has to run beside the workload. The initial delay has no counterpart and needs none: an
endpoint gets no request before its first check has succeeded.
"""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.workload_group import GROUP
from xds_server.mesh.health_check import HealthCheck, Probe
from xds_server.mesh.service import Endpoint
from xds_server.policy.document import Document
from xds_server.policy.workload_group import ReadinessProbe, WorkloadGroupSpec
from xds_server.problem import Problem


def health_check(groups: tuple[Document, ...]) -> Outcome[HealthCheck | None]:
    """The check of a service whose workloads belong to these groups, in order of precedence: the first one's.

    Envoy makes one check for all endpoints of a cluster, so a second group with another probe goes unprobed.
    """
    probed = [group for group in groups if _probe(group) is not None]
    if not probed:
        return Outcome(None)
    first, *others = probed
    found = _health_check(first)
    lost = [_lost(group, first) for group in others if _health_check(group) != found]
    return Outcome(found, tuple(lost))


def health_port(workload: Document, found: Endpoint, groups: tuple[Document, ...]) -> int:
    """Where an endpoint is probed; 0 when it is not.

    The probe names a port of the template; a workload that has another number for that port is probed there.
    """
    name = workload.annotations.get(GROUP)
    probed = [group for group in groups if _probe(group) is not None]
    group = next((each for each in probed if each.name == name), None)
    if group is None or _health_check(group) != _health_check(probed[0]):
        return 0
    port = _port(cast("ReadinessProbe", _probe(group)))
    own = dict(found.ports)
    names = [name for name, number in _spec(group).template.ports.items() if number == port and name in own]
    return own[names[0]] if names else port


def _lost(group: Document, winner: Document) -> Problem:
    message = f"workloads of this group are not probed: {winner.origin} serves the same services with another probe"
    return Place(group).at("probe").warning("second-probe", message, "give both groups the same probe")


def _health_check(group: Document) -> HealthCheck:
    probe = cast("ReadinessProbe", _probe(group))
    return HealthCheck(
        probe=_kind(probe),
        host=probe.http_get.host if probe.http_get else "",
        path=(probe.http_get.path if probe.http_get else "") or "/",
        headers=tuple((header.name, header.value) for header in probe.http_get.http_headers) if probe.http_get else (),
        grpc_service=probe.grpc.service if probe.grpc else "",
        timeout=timedelta(seconds=probe.timeout_seconds or 1),
        interval=timedelta(seconds=probe.period_seconds or 10),
        successes=probe.success_threshold or 1,
        failures=probe.failure_threshold or 3,
    )


def _kind(probe: ReadinessProbe) -> Probe:
    if probe.grpc is not None:
        return Probe.GRPC
    return Probe.HTTP if probe.http_get is not None and probe.http_get.scheme != "HTTPS" else Probe.TCP


def _port(probe: ReadinessProbe) -> int:
    return next(each.port for each in (probe.http_get, probe.tcp_socket, probe.grpc) if each is not None)


def _probe(group: Document) -> ReadinessProbe | None:
    return _spec(group).probe


def _spec(group: Document) -> WorkloadGroupSpec:
    return cast("WorkloadGroupSpec", group.spec)
