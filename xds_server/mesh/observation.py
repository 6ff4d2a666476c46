"""What one proxy tells of its requests: what policies ask for, as far as it can reach those who take it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xds_server.mesh.mesh import Scope
from xds_server.mesh.service import Labels, canonical
from xds_server.mesh.telemetry import (
    NO_REPORTS,
    Collector,
    FileLog,
    Log,
    OpenTelemetry,
    Reports,
    Tag,
    TagSource,
    TelemetryPolicies,
)
from xds_server.mesh.workload import NodeType, Role, Workload


@dataclass(frozen=True, slots=True)
class Observed:
    """What a proxy tells on each of its sides."""

    outbound: Reports = NO_REPORTS
    inbound: Reports = NO_REPORTS

    @property
    def collectors(self) -> frozenset[Collector]:
        """Everybody who takes it."""
        return frozenset((*self.outbound.collectors, *self.inbound.collectors))


UNOBSERVED = Observed()


def observation(policies: TelemetryPolicies, scope: Scope, workload: Workload, labels: Labels) -> Observed:
    """What `workload`, which policies select by `labels`, tells; it sees `scope`."""
    if not policies.tells:
        return UNOBSERVED
    outbound, inbound = (
        _signed(_reaching(policies.reports(workload.namespace, labels, role), scope), workload, labels)
        for role in (Role.CLIENT, Role.SERVER)
    )
    return Observed(outbound, NO_REPORTS if workload.node_type is NodeType.ROUTER else inbound)


def _signed(reports: Reports, workload: Workload, labels: Labels) -> Reports:
    """The same with spans that say whose they are: only then, so that workloads without spans share one view."""
    if reports.tracing is None:
        return reports
    name, revision = canonical(labels, workload.name)
    tracer = reports.tracing.tracer
    by_convention = isinstance(tracer, OpenTelemetry) and tracer.by_convention
    own = _istio_tags(name, revision, workload.namespace) if reports.tracing.istio_tags else ()
    named = {tag.name: tag for tag in (*own, *reports.tracing.tags)}
    tracing = replace(
        reports.tracing,
        service=_conventional_name(labels, workload.name) if by_convention else f"{name}.{workload.namespace}",
        attributes=_conventional_attributes(labels, workload.namespace) if by_convention else (),
        tags=tuple(named[tag] for tag in sorted(named)),
        spawns=workload.node_type is NodeType.ROUTER,
    )
    return replace(reports, tracing=tracing)


def _conventional_name(labels: Labels, workload: str) -> str:
    """OpenTelemetry's `service.name`, in Istio's order."""
    said = dict(labels)
    return said.get("app.kubernetes.io/instance") or said.get("app.kubernetes.io/name") or workload


def _conventional_attributes(labels: Labels, namespace: str) -> Labels:
    """What of the conventions does not take a pod to know. Istio leaves it to a variable that its injector sets."""
    version = dict(labels).get("app.kubernetes.io/version")
    versions = (("service.version", version),) if version else ()
    return (("service.namespace", namespace), *versions)


def _istio_tags(name: str, revision: str, namespace: str) -> tuple[Tag, ...]:
    """Istio's. Its mesh and cluster ids are its agent's to know, and there is none here."""
    said = {"istio.canonical_revision": revision, "istio.canonical_service": name, "istio.namespace": namespace}
    return tuple(Tag(tag, TagSource.LITERAL, value) for tag, value in said.items())


def _reaching(reports: Reports, scope: Scope) -> Reports:
    """What is left when nobody is told who cannot be reached: Envoy refuses a listener that names such a cluster."""
    asked = reports.tracing.collectors if reports.tracing else ()
    tracing = reports.tracing if all(_reaches(scope, collector) for collector in asked) else None
    logs = tuple(log for log in reports.logs if _is_written(log, scope))
    return replace(reports, tracing=tracing, logs=logs) if tracing or logs else NO_REPORTS


def _is_written(log: Log, scope: Scope) -> bool:
    return isinstance(log.logger, FileLog) or _reaches(scope, log.logger.collector)


def _reaches(scope: Scope, collector: Collector) -> bool:
    backend = scope.backends.get(collector.host)
    if backend is None or collector.namespace not in {"", backend.service.namespace}:
        return False
    return collector.port in backend.service.port_by_number
