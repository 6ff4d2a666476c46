"""Fields that a document may hold and that nothing obeys, for there is nothing to act on: one table, which says why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from xds_server.policy.extension_provider import SERVED_BY_NOBODY
from xds_server.policy.model import Finding
from xds_server.policy.pattern import Inside, occurrences, pattern_parts
from xds_server.policy.proxy_config import (
    OF_ANOTHER_TRACER,
    OF_THE_AGENT,
    UNLIMITED_CONNECTIONS,
    WITHOUT_EXCHANGE,
    WITHOUT_LOG_SERVICE,
)
from xds_server.policy.telemetry import WITHOUT_INTERVAL
from xds_server.problem import Severity


@dataclass(frozen=True, slots=True)
class NotApplied:
    """One row of the table.

    Attributes:
        kind: Istio kind.
        fields: patterns below spec.
        because: why nothing here could obey it.
    """

    kind: str
    fields: tuple[str, ...]
    because: str


_OF_KUBERNETES = (
    "discoverySelectors",
    "ingressClass",
    "ingressService",
    "ingressControllerMode",
    "ingressSelector",
    "certificates",
)

_DYNAMIC_DNS = "it is for mode ALLOW_ANY_DYNAMIC_DNS, which is refused"


def _told(above: str, fields: Mapping[str, str]) -> Iterator[NotApplied]:
    return (NotApplied("MeshConfig", (above + field,), because) for field, because in fields.items())


NOT_APPLIED: tuple[NotApplied, ...] = (
    NotApplied("Gateway", ("servers[].defaultEndpoint",), because="Istio does not implement it"),
    NotApplied("VirtualService", ("tcp[].match[].sourceSubnet",), because="Istio does not read it"),
    NotApplied("MeshConfig", _OF_KUBERNETES, because="there is no Kubernetes to read from"),
    NotApplied("MeshConfig", ("hboneIdleTimeout",), because="nothing speaks HBONE"),
    NotApplied("MeshConfig", ("serviceScopeConfigs",), because="there is no ambient mesh"),
    NotApplied("MeshConfig", ("serviceSettings",), because="there is one cluster"),
    NotApplied("MeshConfig", ("enablePrometheusMerge",), because="there is no agent to merge metrics"),
    NotApplied("MeshConfig", ("ca",), because="the server is its own authority"),
    NotApplied("MeshConfig", ("configSources",), because="policies come from the paths that the server is given"),
    NotApplied("MeshConfig", ("caCertificates",), because="whom the mesh believes never comes from a policy file"),
    NotApplied("MeshConfig", ("serviceEntryVisibility",), because="it is for the ambient mesh: exportTo decides"),
    NotApplied("MeshConfig", ("outboundTrafficPolicy.tls",), because=_DYNAMIC_DNS),
    NotApplied("MeshConfig", ("enableEnvoyAccessLogService",), because=WITHOUT_LOG_SERVICE),
    *_told("defaultConfig.", OF_THE_AGENT),
    *_told("defaultConfig.connectionSettings.", UNLIMITED_CONNECTIONS),
    *_told("defaultConfig.proxyHeaders.", {"metadataExchangeHeaders": WITHOUT_EXCHANGE}),
    *_told("defaultConfig.tracing.", OF_ANOTHER_TRACER),
    *_told("extensionProviders[].", SERVED_BY_NOBODY),
    NotApplied("MeshConfig", ("verifyCertificateAtClient",), because="Istio does not read it any more"),
    NotApplied("Telemetry", ("metrics[].reportingInterval",), because=WITHOUT_INTERVAL),
)


def not_applied(kind: str, spec: object, within: Inside) -> Iterable[Finding]:
    """A warning for each field of this spec that is not obeyed; places are below the spec.

    `within` is of the spec, or of a value that holds it.
    """
    for row, pattern in _patterns(kind):
        if pattern[-1] in within.keys:
            yield from _met(row, pattern, spec)


@cache
def _patterns(kind: str) -> tuple[tuple[NotApplied, tuple[str, ...]], ...]:
    return tuple((row, pattern_parts(field)) for row in NOT_APPLIED if row.kind == kind for field in row.fields)


def _met(row: NotApplied, pattern: tuple[str, ...], spec: object) -> Iterable[Finding]:
    for path, value in occurrences(spec, pattern):
        if value is not None:
            yield _finding(row, path)


def _finding(row: NotApplied, path: tuple[str | int, ...]) -> Finding:
    return Finding(f"has no effect here: {row.because}", "remove it", path, "no-effect", Severity.WARNING)
