"""What is told of requests: which are traced and logged, and who takes spans and log entries.

`TelemetryPolicies.reports` is the merge of every policy that concerns one workload, by Istio's rules (pilot/pkg/model,
telemetry.go). It knows nothing of services but their names: whether a proxy can reach a collector is `view.py`'s.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

from xds_server.mesh.metrics import EVERYTHING, Exposure, MetricsRule, exposure
from xds_server.mesh.service import Labels, labels_match
from xds_server.mesh.workload import BOTH, Role
from xds_server.problem import Origin

ISTIO_SAMPLING = 1.0
"""Percent of requests that are traced where nobody says how many (PILOT_TRACE_SAMPLING)."""
BUILT_IN_METRICS = "prometheus"
"""Istio's own provider of metrics; its installation names it where it names a default, and so does every mesh here."""
Headers = tuple[tuple[str, str], ...]
"""May hold secrets, and are shown nowhere."""
ZIPKIN_PATH = "/api/v2/spans"
"""Where Zipkin takes spans in its version 2."""


@dataclass(frozen=True, slots=True)
class Collector:
    """A service that takes spans or log entries; `namespace` "" is whichever has a service of that name."""

    host: str
    port: int
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Sampler:
    """Dynatrace, which is asked by HTTP how much to sample; `root_spans_per_minute` holds where it does not say."""

    collector: Collector
    path: str
    timeout: timedelta
    tenant: str
    cluster_id: int
    root_spans_per_minute: int = 0
    headers: Headers = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class OpenTelemetry:
    """OTLP.

    Attributes:
        path: of the collector's HTTP endpoint; None is gRPC.
        headers: of each export, or the metadata of each call.
        detectors: what describes the proxy besides its service: "environment", "dynatrace".
        sampler: who decides which requests are traced; None is the share that policies name.
        by_convention: a service is called as OpenTelemetry's conventions for Kubernetes have it, not as Istio does.
    """

    collector: Collector
    path: str | None = None
    timeout: timedelta | None = None
    headers: Headers = field(default=(), repr=False)
    detectors: tuple[str, ...] = ()
    sampler: Sampler | None = None
    by_convention: bool = False


@dataclass(frozen=True, slots=True)
class Zipkin:
    """Zipkin's version 2 in JSON; `w3c` reads and writes traceparent beside the B3 headers."""

    collector: Collector
    path: str = ZIPKIN_PATH
    long_ids: bool = True
    w3c: bool = False
    timeout: timedelta = timedelta(seconds=5)
    headers: Headers = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Datadog:
    """Datadog's agent."""

    collector: Collector


@dataclass(frozen=True, slots=True)
class SkyWalking:
    """SkyWalking's OAP; `token` says who we are, "" for nothing."""

    collector: Collector
    token: str = field(default="", repr=False)


Tracer = OpenTelemetry | Zipkin | Datadog | SkyWalking


@dataclass(frozen=True, slots=True)
class Format:
    """How an entry is written: as a line of text, or as `fields`, the text of a JSON object. With neither, Istio's."""

    text: str = ""
    fields: str = ""
    is_json: bool = False
    omits_empty: bool = False


@dataclass(frozen=True, slots=True)
class FileLog:
    """Lines in a file of the proxy."""

    path: str = "/dev/stdout"
    format: Format = Format()


@dataclass(frozen=True, slots=True)
class GrpcLog:
    """Envoy's access log service; entries are of requests, or of connections."""

    collector: Collector
    name: str
    of_requests: bool
    filter_state: tuple[str, ...] = ()
    request_headers: tuple[str, ...] = ()
    response_headers: tuple[str, ...] = ()
    response_trailers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OtelLog:
    """OpenTelemetry's log service; `attributes` is the text of a JSON object."""

    collector: Collector
    name: str
    body: str = ""
    attributes: str = ""


Logger = FileLog | GrpcLog | OtelLog


@dataclass(frozen=True, slots=True)
class Provider:
    """An extension provider; one that neither traces nor logs nor `measures` serves nothing here.

    Attributes:
        measures: it is this server's /metrics.
    """

    name: str
    tracer: Tracer | None = None
    logger: Logger | None = None
    max_tag_length: int = 0
    measures: bool = False


class TagSource(enum.StrEnum):
    """Where the value of a tag is from."""

    LITERAL = "literal"
    ENVIRONMENT = "environment"
    HEADER = "header"
    FORMATTER = "formatter"


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A tag of every span; `value` is itself, a name or a format, as `source` says."""

    name: str
    source: TagSource
    value: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class TracingRule:
    """One entry of Telemetry.tracing; None is what was said before it.

    Attributes:
        provider: its name in lower case; "" for one that does not exist: nothing is reported.
        roles: which requests it is about.
    """

    roles: frozenset[Role] = BOTH
    provider: str | None = None
    sampling: float | None = None
    silent: bool | None = None
    tags: tuple[Tag, ...] | None = None
    by_request_id: bool | None = None
    istio_tags: bool | None = None
    hides_context: bool | None = None


@dataclass(frozen=True, slots=True)
class LoggingRule:
    """One entry of Telemetry.accessLogging; `providers` () are those that were named before it."""

    roles: frozenset[Role] = BOTH
    providers: tuple[str, ...] = ()
    disabled: bool = False
    filter: str = ""


@dataclass(frozen=True, slots=True)
class TelemetryPolicy:
    """One Telemetry; `namespace` "" is the whole mesh, `selector` () all of its workloads."""

    namespace: str
    selector: Labels = ()
    tracing: tuple[TracingRule, ...] = ()
    logging: tuple[LoggingRule, ...] = ()
    metrics: tuple[MetricsRule, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class TelemetryDefaults:
    """What MeshConfig says of telemetry.

    Attributes:
        providers: as written and built in.
        tracing, logging, metrics: names, in lower case, of those that serve where no Telemetry names one.
        log_file: where requests are logged for which no Telemetry says anything; None does not log them.
        listener_log: connections that no filter chain takes are logged too.
        origin: the MeshConfig.
    """

    providers: tuple[Provider, ...] = ()
    tracing: tuple[str, ...] = ()
    logging: tuple[str, ...] = ()
    metrics: tuple[str, ...] = (BUILT_IN_METRICS,)
    log_file: FileLog | None = None
    listener_log: bool = True
    sampling: float = ISTIO_SAMPLING
    tags: tuple[Tag, ...] = ()
    istio_tags: bool = True
    max_tag_length: int = 0
    origin: Origin | None = None

    def provider(self, name: str) -> Provider | None:
        """The one of that name, whatever case it is written in (Istio's rule)."""
        return next((each for each in self.providers if each.name.lower() == name.lower()), None)

    def has_logger(self, name: str) -> bool:
        """Whether a provider of that name takes access logs."""
        found = self.provider(name)
        return found is not None and found.logger is not None


@dataclass(frozen=True, slots=True)
class Tracing:
    """How one side of a proxy traces.

    Attributes:
        service: whose spans they are: "canonical name.namespace", or as OpenTelemetry's conventions have it.
        attributes: what else OpenTelemetry's conventions say of the service, sorted.
        sampling: percent of the requests of which nobody has decided yet.
        tags: sorted by name.
        istio_tags: those by which Istio says whose a span is are among `tags`, or are to be.
        spawns: a request that is sent on has a span of its own.
        by_request_id: the decision is also read from, and written to, x-request-id.
        hides_context: no trace headers are sent on.
    """

    tracer: Tracer
    sampling: float
    tags: tuple[Tag, ...] = ()
    istio_tags: bool = True
    max_tag_length: int = 0
    by_request_id: bool = True
    hides_context: bool = False
    service: str = ""
    attributes: Labels = ()
    spawns: bool = False

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """Who takes spans, and who decides of which requests."""
        sampler = self.tracer.sampler if isinstance(self.tracer, OpenTelemetry) else None
        return (self.tracer.collector, sampler.collector) if sampler else (self.tracer.collector,)


@dataclass(frozen=True, slots=True)
class Log:
    """One access log; `filter` is a CEL expression, "" for every entry."""

    logger: Logger
    filter: str = ""


@dataclass(frozen=True, slots=True)
class Reports:
    """What one side of a proxy tells of its requests and connections.

    Attributes:
        listener_log: `logs` also take connections that no filter chain takes.
        origins: the policies behind it, those first that have most to do with it.
    """

    tracing: Tracing | None = None
    logs: tuple[Log, ...] = ()
    listener_log: bool = True
    origins: tuple[Origin, ...] = ()

    @property
    def collectors(self) -> tuple[Collector, ...]:
        """Who takes it, besides files."""
        tracers = self.tracing.collectors if self.tracing else ()
        return (*tracers, *(log.logger.collector for log in self.logs if not isinstance(log.logger, FileLog)))


NO_REPORTS = Reports()


@dataclass(frozen=True)
class TelemetryPolicies:
    """Every Telemetry, in order of precedence and one for each scope, over what MeshConfig says."""

    policies: tuple[TelemetryPolicy, ...] = ()
    defaults: TelemetryDefaults = TelemetryDefaults()

    @cached_property
    def tells(self) -> bool:
        """Whether anything is told anywhere."""
        defaults = self.defaults
        return bool(self.policies or defaults.tracing or defaults.logging or defaults.log_file)

    def reports(self, namespace: str, labels: Labels, role: Role) -> Reports:
        """What a workload tells in `role`."""
        if not self.tells:
            return NO_REPORTS
        levels = tuple(self._levels(namespace, labels))
        origins = [level.origin for level in reversed(levels) if level.origin]
        logs = self._logs(levels, role)
        tracing = self._tracing([rule for level in levels for rule in level.tracing if role in rule.roles])
        if not logs and not tracing:
            return NO_REPORTS
        defaults = (self.defaults.origin,) if self.defaults.origin else ()
        return Reports(tracing, logs, self.defaults.listener_log, (*origins, *defaults))

    @cached_property
    def measured_by(self) -> tuple[str, ...]:
        """The labels by which rules about metrics tell workloads apart, sorted."""
        measuring = [policy for policy in self.policies if policy.metrics]
        selected = {key for policy in measuring for key, _ in policy.selector}
        return tuple(sorted(selected | {key for policy in measuring for rule in policy.metrics for key in rule.keys}))

    def exposure(self, namespace: str, labels: Labels, role: Role) -> Exposure:
        """What is shown of a workload's traffic in `role`; of its labels those of `measured_by` are looked at."""
        if not self._measures:
            return EVERYTHING
        rules = [rule for level in self._levels(namespace, labels) for rule in level.metrics]
        return exposure(rules, self.defaults.metrics, self._shown_by, role, (namespace, labels))

    @cached_property
    def _measures(self) -> bool:
        """Whether anything is said of metrics anywhere."""
        return self.defaults.metrics != (BUILT_IN_METRICS,) or any(policy.metrics for policy in self.policies)

    @cached_property
    def _shown_by(self) -> frozenset[str]:
        return frozenset(each.name.lower() for each in self.defaults.providers if each.measures)

    def _levels(self, namespace: str, labels: Labels) -> Iterator[TelemetryPolicy]:
        """Mesh, namespace and workload, the wider first."""
        yield from (policy for policy in self.policies if not policy.selector and not policy.namespace)
        yield from (policy for policy in self.policies if not policy.selector and policy.namespace == namespace)
        yield from (
            policy
            for policy in self.policies
            if policy.selector and policy.namespace == namespace and labels_match(policy.selector, labels)
        )

    def _tracing(self, rules: Iterable[TracingRule]) -> Tracing | None:
        """Each field as the last rule has it that says anything of it."""
        found = TracingRule(provider=next(iter(self.defaults.tracing), None), silent=False)
        for rule in rules:
            said = {name: value for name in _MERGED if (value := getattr(rule, name)) is not None}
            found = replace(found, **said)
        provider = self.defaults.provider(found.provider) if found.provider else None
        if provider is None or provider.tracer is None or found.silent:
            return None
        sampled = isinstance(provider.tracer, OpenTelemetry) and provider.tracer.sampler is not None
        return Tracing(
            provider.tracer,
            # A sampler is asked about every request (Istio's rule).
            100.0 if sampled else self.defaults.sampling if found.sampling is None else found.sampling,
            found.tags or self.defaults.tags,
            True if found.istio_tags is None else found.istio_tags,
            provider.max_tag_length or self.defaults.max_tag_length,
            True if found.by_request_id is None else found.by_request_id,
            bool(found.hides_context),
        )

    def _logs(self, levels: Iterable[TelemetryPolicy], role: Role) -> tuple[Log, ...]:
        """By name of the provider; where none is named anywhere, MeshConfig's file."""
        merged = merged_logs([level.logging for level in levels if level.logging], self.defaults.logging, role)
        known = [(self.defaults.provider(name), rule) for name, rule in sorted(merged.items())]
        named = [(found.logger, rule) for found, rule in known if found and found.logger]
        if named:
            return tuple(Log(logger, rule.filter) for logger, rule in named if not rule.disabled)
        return (Log(self.defaults.log_file),) if self.defaults.log_file else ()


_MERGED = ("provider", "sampling", "silent", "tags", "by_request_id", "istio_tags", "hides_context")


def merged_logs(
    levels: list[tuple[LoggingRule, ...]], defaults: tuple[str, ...], role: Role
) -> Mapping[str, LoggingRule]:
    """What holds for each provider, by name in lower case (Istio's mergeLogs).

    Providers that a level names take the place of those before it; a rule that names none is about those that the rule
    before it was about, and its filter counts, which Istio's code drops. One that is switched off is here, as disabled:
    that is something else than never named.
    """
    if not levels:
        return dict.fromkeys(defaults, LoggingRule())
    in_scope, filters = defaults, dict[str, str]()
    for level in levels:
        concerned = [rule for rule in level if role in rule.roles]
        filters |= {name: rule.filter for rule in concerned for name in rule.providers}
        in_scope = tuple(name for rule in concerned for name in rule.providers) or in_scope
    found: dict[str, LoggingRule] = {}
    before = defaults
    for rule in (rule for level in levels for rule in level):
        before = rule.providers or before
        if role in rule.roles:
            for name in before:
                if name in in_scope:
                    found[name] = LoggingRule(disabled=rule.disabled, filter=rule.filter or filters.get(name, ""))
    return found
