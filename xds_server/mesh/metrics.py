"""Which of the traffic that proxies tell of is shown at /metrics, and with which labels.

`exposure` is the merge of every rule that concerns one workload, by Istio's order (pilot/pkg/model/telemetry.go,
mergeMetrics). Metrics are this server's own; which question of Istio's each answers is the compiler's to know.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from xds_server.mesh.service import Labels
from xds_server.mesh.workload import BOTH, Role

UNKNOWN = "unknown"
"""The value of a label that the workload does not have (Istio's word)."""


class Metric(enum.StrEnum):
    """Every metric of traffic, by its name."""

    REQUESTS = "mesh_requests_total"
    GRPC_RESPONSES = "mesh_grpc_responses_total"
    DURATIONS = "mesh_request_duration_milliseconds"
    REQUEST_BYTES = "mesh_request_bytes_total"
    RESPONSE_BYTES = "mesh_response_bytes_total"
    CONNECTIONS = "mesh_connections_total"
    TLS_CONNECTIONS = "mesh_tls_connections_total"
    CONNECT_FAILURES = "mesh_connect_failures_total"
    RETRIES = "mesh_retries_total"
    TIMEOUTS = "mesh_timeouts_total"
    OVERFLOWS = "mesh_overflows_total"
    EJECTIONS = "mesh_ejections_total"
    ACTIVE_REQUESTS = "mesh_active_requests"
    ACTIVE_CONNECTIONS = "mesh_active_connections"
    PENDING_REQUESTS = "mesh_pending_requests"
    EJECTED_ENDPOINTS = "mesh_ejected_endpoints"


class Part(enum.StrEnum):
    """Of which traffic: bytes of HTTP and of TCP are counted together here, and asked for apart by Istio."""

    WHOLE = ""
    HTTP = "HTTP"
    TCP = "TCP"


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """What a rule is about: a metric, or its part."""

    metric: Metric
    part: Part = Part.WHOLE


_IN_PARTS = frozenset({Metric.REQUEST_BYTES, Metric.RESPONSE_BYTES})
PARTS: Mapping[Metric, tuple[Asked, ...]] = {
    each: (Asked(each, Part.HTTP), Asked(each, Part.TCP)) if each in _IN_PARTS else (Asked(each),) for each in Metric
}
"""What each metric is made of: what holds of all of it, holds of the metric."""


class ValueSource(enum.Enum):
    """Where the value of a label is from."""

    TEXT = enum.auto()
    NAMESPACE = enum.auto()
    """Of the workload whose proxy tells."""
    LABEL = enum.auto()
    """Of that workload; the value is the key."""


@dataclass(frozen=True, slots=True)
class LabelValue:
    """What a label of a metric is set to."""

    source: ValueSource
    text: str = ""


LabelChanges = tuple[tuple[str, LabelValue | None], ...]
"""By name; None takes the label away."""
LabelTexts = tuple[tuple[str, str | None], ...]
"""The same of one workload, whose values are known."""


@dataclass(frozen=True, slots=True)
class MetricsOverride:
    """What is different about some metrics; `disabled` None is what was said before."""

    asked: frozenset[Asked]
    roles: frozenset[Role] = BOTH
    disabled: bool | None = None
    labels: LabelChanges = ()


@dataclass(frozen=True, slots=True)
class MetricsRule:
    """One entry of Telemetry.metrics; `providers`, in lower case, () are those that were named before it."""

    providers: tuple[str, ...] = ()
    overrides: tuple[MetricsOverride, ...] = ()

    @property
    def keys(self) -> Iterator[str]:
        """The labels of workloads that it shows."""
        values = (value for override in self.overrides for _, value in override.labels if value is not None)
        return (value.text for value in values if value.source is ValueSource.LABEL)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is shown of one side of a workload's traffic.

    Attributes:
        hidden: not shown at all.
        labels: what becomes of labels, by metric.
    """

    hidden: frozenset[Metric] = frozenset()
    labels: Mapping[Metric, LabelTexts] = field(default_factory=dict)


EVERYTHING = Exposure()
NOTHING = Exposure(frozenset(Metric))


def exposure(
    rules: Sequence[MetricsRule],
    defaults: tuple[str, ...],
    shown_by: frozenset[str],
    role: Role,
    of: tuple[str, Labels],
) -> Exposure:
    """What the rules say together, the later winning.

    Args:
        rules: the wider first.
        defaults: names of the providers that serve where no rule names one.
        shown_by: names of all providers that are this server's /metrics; where none of them is named last, nothing is
            shown. All names are in lower case.
        role: which side.
        of: namespace and labels of the workload.
    """
    last_named = next((rule.providers for rule in reversed(rules) if rule.providers), defaults)
    provider = next((name for name in last_named if name in shown_by), None)
    if provider is None:
        return NOTHING
    disabled: dict[Asked, bool] = {}
    labels: dict[Asked, dict[str, str | None]] = {}
    for override in _overrides(rules, defaults, provider):
        for asked in override.asked if role in override.roles else ():
            if override.disabled is not None:
                disabled[asked] = override.disabled
            labels.setdefault(asked, {}).update({name: _text(value, of) for name, value in override.labels})
    return Exposure(
        frozenset(metric for metric, parts in PARTS.items() if all(disabled.get(part) for part in parts)),
        {metric: agreed for metric in Metric if (agreed := _agreed(metric, labels))},
    )


def _overrides(rules: Sequence[MetricsRule], defaults: tuple[str, ...], provider: str) -> Iterator[MetricsOverride]:
    """Those of the rules that are about a provider; a rule that names none is about those of the rule before it."""
    before = defaults
    for rule in rules:
        before = rule.providers or before
        if provider in before:
            yield from rule.overrides


def _agreed(metric: Metric, labels: Mapping[Asked, Mapping[str, str | None]]) -> LabelTexts:
    """What all parts of a metric say."""
    said = [frozenset(labels.get(part, {}).items()) for part in PARTS[metric]]
    return tuple(sorted(frozenset.intersection(*said)))


def _text(value: LabelValue | None, of: tuple[str, Labels]) -> str | None:
    if value is None:
        return None
    if value.source is ValueSource.TEXT:
        return value.text
    namespace, labels = of
    return namespace if value.source is ValueSource.NAMESPACE else dict(labels).get(value.text, UNKNOWN)
