"""What Telemetry's `metrics` mean: which metrics of this server answer Istio's questions, and what becomes of labels.

Istio's filter `istio.stats` evaluates a tag's CEL expression for each request; stock Envoy has no such filter, so what
holds of a request only cannot be a label here, and is an error at its place. Everything else ships.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from xds_server.compiler.finding import Place, nearest
from xds_server.mesh.metrics import (
    PARTS,
    Asked,
    LabelValue,
    Metric,
    MetricsOverride,
    MetricsRule,
    Part,
    ValueSource,
)
from xds_server.mesh.workload import BOTH, Role
from xds_server.policy.telemetry import (
    MetricName,
    Metrics,
    MetricSelector,
    MetricsOverrides,
    TagOperation,
    TagOverride,
    WorkloadMode,
)
from xds_server.problem import Problem

ANSWERS: Mapping[MetricName, tuple[Asked, ...]] = {
    MetricName.ALL_METRICS: tuple(asked for parts in PARTS.values() for asked in parts),
    MetricName.REQUEST_COUNT: (Asked(Metric.REQUESTS), Asked(Metric.GRPC_RESPONSES)),
    MetricName.REQUEST_DURATION: (Asked(Metric.DURATIONS),),
    MetricName.REQUEST_SIZE: (Asked(Metric.REQUEST_BYTES, Part.HTTP),),
    MetricName.RESPONSE_SIZE: (Asked(Metric.RESPONSE_BYTES, Part.HTTP),),
    MetricName.TCP_OPENED_CONNECTIONS: (Asked(Metric.CONNECTIONS), Asked(Metric.TLS_CONNECTIONS)),
    MetricName.TCP_CLOSED_CONNECTIONS: (),
    MetricName.TCP_SENT_BYTES: (Asked(Metric.RESPONSE_BYTES, Part.TCP),),
    MetricName.TCP_RECEIVED_BYTES: (Asked(Metric.REQUEST_BYTES, Part.TCP),),
    MetricName.GRPC_REQUEST_MESSAGES: (),
    MetricName.GRPC_RESPONSE_MESSAGES: (),
}
"""What is asked for by Istio's names. Bytes sent are those that the proxy sends to who calls (Istio's meaning)."""
_OTHER_PART = {
    MetricName.REQUEST_SIZE: MetricName.TCP_RECEIVED_BYTES,
    MetricName.RESPONSE_SIZE: MetricName.TCP_SENT_BYTES,
    MetricName.TCP_RECEIVED_BYTES: MetricName.REQUEST_SIZE,
    MetricName.TCP_SENT_BYTES: MetricName.RESPONSE_SIZE,
}
"""Of those that are counted together with another."""
LABELS = {
    "source_canonical_service": "source_service",
    "source_workload_namespace": "source_namespace",
    "destination_canonical_revision": "destination_version",
    "response_code": "response_class",
}
"""Istio's names of labels that are called otherwise here; `reporter` and others are called the same."""
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_PROMETHEUS = frozenset({"le", "quantile"})
_STRING = re.compile(r"'([^'\\]*)'|\"([^\"\\]*)\"")
_METADATA = r"(?:xds\.)?node\.metadata(?:\.{0}|\[['\"]{0}['\"]\])"
_NAMESPACE = re.compile(_METADATA.format("NAMESPACE"))
_OWN_LABEL = re.compile(_METADATA.format("LABELS") + r"(?:\.([A-Za-z_]\w*)|\[(?:'([^'\\]+)'|\"([^\"\\]+)\")\])")


def metrics_rule(written: Metrics) -> MetricsRule:
    """One entry, less what `metrics_problems` calls an error."""
    overrides = (_override(each) for each in written.overrides)
    return MetricsRule(tuple(each.name.lower() for each in written.providers), tuple(o for o in overrides if o.asked))


def metrics_problems(place: Place, written: Iterable[Metrics]) -> Iterator[Problem]:
    """Everything wrong with the entries of one document; `place` is that of `metrics`."""
    entries = [
        (place.at(index, "overrides", at), each)
        for index, entry in enumerate(written)
        for at, each in enumerate(entry.overrides)
    ]
    for where, override in entries:
        yield from _selector_problems(where.at("match"), override)
        for name, tag in override.tag_overrides.items():
            yield from _tag_problems(where.at("tagOverrides", name), name, tag)
    yield from _halves(entries)


def _override(written: MetricsOverrides) -> MetricsOverride:
    match = written.match or MetricSelector()
    changes = ((LABELS.get(name, name), tag) for name, tag in sorted(written.tag_overrides.items()))
    return MetricsOverride(
        asked=frozenset(_asked(match)),
        roles=BOTH if match.mode is WorkloadMode.CLIENT_AND_SERVER else frozenset({Role(match.mode)}),
        disabled=written.disabled,
        labels=tuple((name, _value(tag)) for name, tag in changes if _is_label(name) and _is_understood(tag)),
    )


def _asked(match: MetricSelector) -> tuple[Asked, ...]:
    if match.custom_metric is None:
        return ANSWERS[match.metric or MetricName.ALL_METRICS]
    return PARTS[Metric(match.custom_metric)] if match.custom_metric in set(Metric) else ()


def _selector_problems(place: Place, override: MetricsOverrides) -> Iterator[Problem]:
    match = override.match or MetricSelector()
    if match.custom_metric is not None and not _asked(match):
        message = f"there is no metric {match.custom_metric}, and proxies here count nothing but what is built in"
        near = nearest(match.custom_metric, sorted(Metric), "")
        fix = near if near.startswith("did") else "name one of those in envoy/metrics.md"
        yield place.at("customMetric").error("unknown-metric", message, fix)
    elif not _asked(match) and (override.tag_overrides or not override.disabled):
        message = f"has no effect here: nothing is counted that answers {match.metric}"
        yield place.at("metric").warning("no-effect", message, "remove it")


def _tag_problems(place: Place, name: str, tag: TagOverride) -> Iterator[Problem]:
    if not _is_label(name):
        yield place.error("invalid-value", f'"{name}" cannot be a label of a metric', "write letters, digits and _")
    elif not _is_understood(tag):
        message = "only Istio's own Envoy evaluates this for each request: the label is left as it is"
        fix = "write a text in quotes, xds.node.metadata.NAMESPACE or xds.node.metadata.LABELS['KEY']"
        yield place.at("value").error("unsupported-expression", message, fix)


def _halves(entries: Iterable[tuple[Place, MetricsOverrides]]) -> Iterator[Problem]:
    """A metric that counts for two of Istio's is changed when both say the same."""
    named = [(where, each, each.match.metric) for where, each in entries if each.match and each.match.metric]
    said = {(metric, _said(override)) for _, override, metric in named}
    for where, override, metric in named:
        other = _OTHER_PART.get(metric)
        if other and (override.disabled or override.tag_overrides) and (other, _said(override)) not in said:
            (asked,) = ANSWERS[metric]
            message = f"{asked.metric} counts HTTP and TCP together, and is changed only if {other} says the same"
            yield where.at("match", "metric").warning("half-a-metric", message, f"say the same of {other}")


def _said(override: MetricsOverrides) -> str:
    """All but of which metric."""
    match = override.match or MetricSelector()
    return f"{match.mode} {override.disabled} {sorted(override.tag_overrides.items(), key=lambda pair: pair[0])}"


def _is_label(name: str) -> bool:
    return bool(_LABEL.fullmatch(name)) and name not in _OF_PROMETHEUS and not name.startswith("__")


def _is_understood(tag: TagOverride) -> bool:
    return tag.operation is TagOperation.REMOVE or _value(tag) is not None


def _value(tag: TagOverride) -> LabelValue | None:
    """What a tag is set to; None where it is removed, or not understood."""
    expression = tag.value.strip()
    if found := _STRING.fullmatch(expression):
        return LabelValue(ValueSource.TEXT, found[1] or found[2] or "")
    if _NAMESPACE.fullmatch(expression):
        return LabelValue(ValueSource.NAMESPACE)
    if found := _OWN_LABEL.fullmatch(expression):
        return LabelValue(ValueSource.LABEL, found[1] or found[2] or found[3])
    return None
