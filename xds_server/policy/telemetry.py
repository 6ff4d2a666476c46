"""Telemetry: what is traced, logged and measured of requests, and who is told (istio.io/v1 Telemetry)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from xds_server.policy.model import Finding, PolicyEnum, PolicyModel, refusal
from xds_server.policy.trace_tag import FormattedCustomTag
from xds_server.policy.values import Bool, Duration, LabelSelector, PercentDouble, only_one


class WorkloadMode(PolicyEnum):
    """Which of a workload's requests: those that it sends, those that it takes, or both."""

    CLIENT_AND_SERVER = "CLIENT_AND_SERVER"
    CLIENT = "CLIENT"
    SERVER = "SERVER"


class ModeSelector(PolicyModel):
    """A mode in a mapping of its own, as Istio has it."""

    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER


class ProviderRef(PolicyModel):
    """One of MeshConfig's extensionProviders."""

    name: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """Istio's."""
        if not self.name:
            yield Finding("a provider needs its name", "write name: ...", at=("name",))


def _named(value: Mapping[str, object]) -> Mapping[str, object]:
    if "" in value:
        raise refusal(Finding("a tag needs a name", at=("",)))
    return value


class Tracing(PolicyModel):
    """How requests are traced; None is what the next wider policy says."""

    match: ModeSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    random_sampling_percentage: PercentDouble | None = None
    disable_span_reporting: Bool | None = None
    custom_tags: Annotated[dict[str, FormattedCustomTag], AfterValidator(_named)] | None = None
    use_request_id_for_trace_sampling: Bool | None = None
    enable_istio_tags: Bool | None = None
    disable_context_propagation: Bool | None = None


class MetricName(PolicyEnum):
    """Istio's own metrics."""

    ALL_METRICS = "ALL_METRICS"
    REQUEST_COUNT = "REQUEST_COUNT"
    REQUEST_DURATION = "REQUEST_DURATION"
    REQUEST_SIZE = "REQUEST_SIZE"
    RESPONSE_SIZE = "RESPONSE_SIZE"
    TCP_OPENED_CONNECTIONS = "TCP_OPENED_CONNECTIONS"
    TCP_CLOSED_CONNECTIONS = "TCP_CLOSED_CONNECTIONS"
    TCP_SENT_BYTES = "TCP_SENT_BYTES"
    TCP_RECEIVED_BYTES = "TCP_RECEIVED_BYTES"
    GRPC_REQUEST_MESSAGES = "GRPC_REQUEST_MESSAGES"
    GRPC_RESPONSE_MESSAGES = "GRPC_RESPONSE_MESSAGES"


class MetricSelector(PolicyModel):
    """Which metrics are meant."""

    metric: MetricName | None = None
    custom_metric: str | None = None
    mode: WorkloadMode = WorkloadMode.CLIENT_AND_SERVER

    def mistakes(self) -> Iterable[Finding]:
        """Proto's oneof, and Istio's rule."""
        yield from only_one(self, "metric", "custom_metric")
        if self.custom_metric == "":
            yield Finding("customMetric may not be empty", "name a metric", at=("customMetric",))


class TagOperation(PolicyEnum):
    """What becomes of a metric's tag."""

    UPSERT = "UPSERT"
    REMOVE = "REMOVE"


class TagOverride(PolicyModel):
    """What becomes of one tag; `value` is a CEL expression."""

    operation: TagOperation = TagOperation.UPSERT
    value: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """Istio's."""
        if self.operation is TagOperation.UPSERT and not self.value:
            yield Finding("UPSERT needs a value", "write value: ..., or operation: REMOVE", at=("value",))
        if self.operation is TagOperation.REMOVE and self.value:
            yield Finding("REMOVE takes no value", "remove it", at=("value",))


class MetricsOverrides(PolicyModel):
    """What is different about some metrics."""

    match: MetricSelector | None = None
    disabled: Bool | None = None
    tag_overrides: dict[str, TagOverride] = Field(default_factory=dict)


class Metrics(PolicyModel):
    """What is measured."""

    providers: tuple[ProviderRef, ...] = ()
    overrides: tuple[MetricsOverrides, ...] = ()
    reporting_interval: Duration | None = None


class LogFilter(PolicyModel):
    """Which requests are logged: a CEL expression, which Envoy itself checks."""

    expression: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """An empty text is no expression."""
        if not self.expression.strip():
            yield Finding(
                "a filter needs an expression", 'write one such as "response.code >= 500"', at=("expression",)
            )


class AccessLogging(PolicyModel):
    """What is logged, and where to."""

    match: ModeSelector | None = None
    providers: tuple[ProviderRef, ...] = ()
    disabled: Bool | None = None
    filter: LogFilter | None = None


class TelemetrySpec(PolicyModel):
    """What is told of the requests of the workloads that it selects.

    Attributes:
        selector: without labels it is for the whole namespace; in the root namespace, for the mesh.
        target_ref, target_refs: always empty; they name Kubernetes' gateways and waypoints.
    """

    selector: LabelSelector | None = None
    target_ref: dict[str, object] | None = None
    target_refs: tuple[dict[str, object], ...] = ()
    tracing: tuple[Tracing, ...] = ()
    metrics: tuple[Metrics, ...] = ()
    access_logging: tuple[AccessLogging, ...] = ()

    def mistakes(self) -> Iterable[Finding]:
        """What can never apply here."""
        for name in ("target_ref", "target_refs"):
            if getattr(self, name):
                at = (str(type(self).model_fields[name].alias),)
                message = "names what only Kubernetes has: this Telemetry would never apply"
                yield Finding(message, "write selector: {matchLabels: ...}", at=at)


WITHOUT_INTERVAL = "Envoy reads it from its bootstrap only: --metrics-interval of bootstrap and enroll"
"""Why Metrics.reporting_interval has nothing to act on."""
