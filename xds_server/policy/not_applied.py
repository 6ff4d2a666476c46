"""Fields that a document may hold and that nothing obeys yet: one table. A row goes when its feature comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from xds_server.policy.model import Finding
from xds_server.policy.pattern import keys_within, occurrences, pattern_parts
from xds_server.problem import Severity


def _written(value: object) -> bool:
    return value is not None


def _is(*words: object) -> Callable[[object], bool]:
    return lambda value: value in words


@dataclass(frozen=True, slots=True)
class NotApplied:
    """One row of the table.

    Attributes:
        kind: Istio kind.
        fields: patterns below spec.
        met: which values are not obeyed.
    """

    kind: str
    fields: tuple[str, ...]
    met: Callable[[object], bool] = _written


_POLICIES = ("trafficPolicy", "subsets[].trafficPolicy")
_SECTIONS = (*_POLICIES, *(f"{policy}.portLevelSettings[]" for policy in _POLICIES))


def _in_each(places: tuple[str, ...], field: str) -> tuple[str, ...]:
    return tuple(f"{place}.{field}" for place in places)


_OF_MESH = (
    "proxyListenPort",
    "proxyInboundListenPort",
    "protocolDetectionTimeout",
    "hboneIdleTimeout",
    "trustDomain",
    "trustDomainAliases",
    "inboundTrafficPolicy",
    "zoneAwareLbSetting",
    "dnsRefreshRate",
    "defaultInboundHttpRetryPolicy",
    "pathNormalization",
    "inboundClusterStatName",
    "outboundClusterStatName",
    "accessLogFile",
    "accessLogFormat",
    "accessLogEncoding",
    "enableEnvoyAccessLogService",
    "disableEnvoyListenerLog",
    "enableTracing",
    "enablePrometheusMerge",
    "defaultProviders",
    "extensionProviders",
    "defaultConfig",
    "meshMTLS",
    "tlsDefaults",
    "ca",
    "caCertificates",
    "configSources",
    "discoverySelectors",
    "serviceEntryVisibility",
    "serviceSettings",
    "serviceScopeConfigs",
    "ingressClass",
    "ingressService",
    "ingressControllerMode",
    "ingressSelector",
    "certificates",
    "verifyCertificateAtClient",
    "outboundTrafficPolicy.egressProxy",
    "outboundTrafficPolicy.tls",
)


NOT_APPLIED: tuple[NotApplied, ...] = (
    NotApplied("MeshConfig", _OF_MESH),
    NotApplied("Gateway", ("servers[].defaultEndpoint",)),
    NotApplied("Gateway", ("servers[].tls.mode",), _is("AUTO_PASSTHROUGH", 3)),
    NotApplied("DestinationRule", _in_each(_SECTIONS, "loadBalancer.zoneAwareLbSetting")),
    NotApplied("Sidecar", ("ingress[].tls",)),
)


def not_applied(kind: str, spec: object) -> Iterable[Finding]:
    """A warning for each field of this spec that is not obeyed; places are below the spec."""
    rows = [row for row in NOT_APPLIED if row.kind == kind]
    keys = keys_within(spec) if rows else frozenset()
    for row in rows:
        yield from (finding for field in row.fields for finding in _met(row, pattern_parts(field), spec, keys))


def _met(row: NotApplied, pattern: tuple[str, ...], spec: object, keys: frozenset[str]) -> Iterable[Finding]:
    if pattern[-1] in keys:
        for path, value in occurrences(spec, pattern):
            if row.met(value):
                yield Finding("is not applied yet", "", path, "not-applied-yet", Severity.WARNING)
