"""What Telemetries mean, and what MeshConfig says of the same: who is told of which requests, and what is counted.

A name that no provider has is an error where it is written; everything else ships. Of two policies for one scope the
first by precedence is in force, and the other is an error (Istio obeys the oldest and says nothing).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from xds_server.compiler.extension_provider import lines, providers, unset
from xds_server.compiler.finding import Outcome, Place, nearest
from xds_server.compiler.metrics import metrics_problems, metrics_rule
from xds_server.compiler.premises import NO_ENVIRONMENT, Environment
from xds_server.compiler.services import Services
from xds_server.compiler.table import Diff, Table
from xds_server.compiler.workload_entry import sorted_labels
from xds_server.memo import Memo
from xds_server.mesh.service import Labels, Service
from xds_server.mesh.telemetry import (
    BUILT_IN_METRICS,
    ISTIO_SAMPLING,
    FileLog,
    Format,
    LoggingRule,
    OpenTelemetry,
    Provider,
    Tag,
    TagSource,
    TelemetryDefaults,
    TelemetryPolicies,
    TelemetryPolicy,
    TracingRule,
    merged_logs,
)
from xds_server.mesh.workload import BOTH, Role
from xds_server.policy.document import Document, precedence
from xds_server.policy.extension_provider import (
    DatadogTracing,
    DynatraceApi,
    ExtensionProvider,
    OpenTelemetryTracing,
    ServiceProvider,
    ZipkinTracing,
)
from xds_server.policy.mesh_config import AccessLogEncoding, MeshConfigSpec
from xds_server.policy.proxy_config import ProxyTracing
from xds_server.policy.telemetry import (
    AccessLogging,
    ModeSelector,
    ProviderRef,
    TelemetrySpec,
    Tracing,
    WorkloadMode,
)
from xds_server.policy.trace_tag import CustomTag
from xds_server.problem import Problem

_HIGHEST_SAMPLING = 100.0


class Telemetries:
    """Every Telemetry, kept up to date, over the mesh's defaults."""

    def __init__(self, root_namespace: str, defaults: TelemetryDefaults, memo: Memo) -> None:
        self._root = root_namespace
        self._defaults = defaults
        self._memo = memo
        self._policies: Table[Document, TelemetryPolicy] = Table()
        self._beside: tuple[Problem, ...] = ()
        self.in_force = TelemetryPolicies(defaults=defaults)

    def update(self, documents: Diff) -> None:
        """Take in what changed."""
        self._policies.remake(documents.removed, lambda _: None)
        changed = self._policies.remake(documents.added, self._policy)
        if changed or documents.removed:
            self._decide()

    @property
    def problems(self) -> Iterator[Problem]:
        """Everything found about them."""
        yield from self._policies.all_problems
        yield from self._beside

    def _policy(self, document: Document) -> Outcome[TelemetryPolicy]:
        return self._memo(telemetry_policy, document, self._root, self._defaults.providers)

    def _decide(self) -> None:
        found = [(each, self._policies.rows[each].value) for each in sorted(self._policies.rows, key=precedence)]
        first: dict[tuple[str, Labels], Document] = {}
        for document, policy in found:
            first.setdefault((policy.namespace, policy.selector), document)
        holds = [(each, policy) for each, policy in found if first[policy.namespace, policy.selector] is each]
        self.in_force = TelemetryPolicies(tuple(policy for _, policy in holds), self._defaults)
        clashes = (
            _clash(each, first[policy.namespace, policy.selector])
            for each, policy in found
            if first[policy.namespace, policy.selector] is not each
        )
        self._beside = (*clashes, *still_logged(holds, self._defaults))


def telemetry_policy(document: Document, root_namespace: str, known: tuple[Provider, ...]) -> Outcome[TelemetryPolicy]:
    """What one document says, with the names that are not among the `known` providers reported."""
    spec = cast("TelemetrySpec", document.spec)
    selector = sorted_labels(spec.selector.match_labels) if spec.selector else ()
    tracers = frozenset(each.name.lower() for each in known if each.tracer)
    loggers = frozenset(each.name.lower() for each in known if each.logger)
    policy = TelemetryPolicy(
        namespace="" if document.namespace == root_namespace and not selector else document.namespace,
        selector=selector,
        tracing=tuple(_tracing(rule, tracers) for rule in spec.tracing),
        logging=tuple(_logging(rule, loggers) for rule in spec.access_logging),
        metrics=tuple(map(metrics_rule, spec.metrics)),
        origin=document.origin,
    )
    return Outcome(policy, tuple(_problems_of(document, spec, selector, known)))


def _problems_of(
    document: Document, spec: TelemetrySpec, selector: Labels, known: tuple[Provider, ...]
) -> Iterator[Problem]:
    place = Place(document)
    for index, tracing in enumerate(spec.tracing):
        at = place.at("tracing", index, "providers")
        yield from lost_names(_names(at, tracing.providers), known, _traces, "takes no spans")
        if len(tracing.providers) > 1:
            yield at.at(1).warning("second-provider", "spans go to the first provider alone", "remove the others")
        yield from _all_traced(place.at("tracing", index), tracing, known)
    for index, logging in enumerate(spec.access_logging):
        at = place.at("accessLogging", index, "providers")
        yield from lost_names(_names(at, logging.providers), known, _logs, "takes no access logs")
    for index, metrics in enumerate(spec.metrics):
        at = place.at("metrics", index, "providers")
        yield from lost_names(_names(at, metrics.providers), known, _measures, _TAKES_NO_METRICS)
    yield from metrics_problems(place.at("metrics"), spec.metrics)
    if spec.selector is not None and not selector:
        message = "a selector without labels selects everything"
        yield place.at("selector").warning("empty-selector", message, "remove it, or name labels")


def _all_traced(place: Place, tracing: Tracing, known: tuple[Provider, ...]) -> Iterator[Problem]:
    """Where request ids do not decide, Envoy draws no lots: whoever wants that has to say that it is everything.

    A sampler draws them itself, so there is nothing to say where one may be meant.
    """
    named = {each.name.lower() for each in tracing.providers[:1]}
    tracers = [each.tracer for each in known if not named or each.name.lower() in named]
    if any(isinstance(tracer, OpenTelemetry) and tracer.sampler for tracer in tracers):
        return
    if tracing.use_request_id_for_trace_sampling is False and tracing.random_sampling_percentage != _HIGHEST_SAMPLING:
        message = "traces every request that no traceparent is against: a share is drawn by request id alone"
        fix = "remove it, or write randomSamplingPercentage: 100 beside it"
        yield place.at("useRequestIdForTraceSampling").warning("all-traced", message, fix)


def _names(place: Place, written: Iterable[ProviderRef]) -> Iterator[tuple[Place, str]]:
    return ((place.at(index, "name"), each.name) for index, each in enumerate(written))


def _traces(provider: Provider) -> bool:
    return provider.tracer is not None


def _logs(provider: Provider) -> bool:
    return provider.logger is not None


def _measures(provider: Provider) -> bool:
    return provider.measures


_TAKES_NO_METRICS = "takes no metrics: they are read at this server's /metrics, which a provider of kind prometheus is"


def lost_names(
    written: Iterable[tuple[Place, str]], known: tuple[Provider, ...], serves: Callable[[Provider], bool], lacks: str
) -> Iterator[Problem]:
    """An error for each name that no provider has, or one that does not serve; `lacks` says what it does not do."""
    names = {provider.name.lower(): provider for provider in known}
    for place, name in written:
        found = names.get(name.lower())
        if found is None:
            near = nearest(name, sorted(each.name for each in known if serves(each)), "the extensionProvider")
            yield place.error("unknown-provider", f"MeshConfig.extensionProviders has no {name}", near)
        elif not serves(found):
            yield place.error("wrong-provider", f"the provider {name} {lacks}", "name one of another kind")


def _tracing(written: Tracing, tracers: frozenset[str]) -> TracingRule:
    named = next((each.name.lower() for each in written.providers), None)
    return TracingRule(
        roles=_roles(written.match),
        provider=None if named is None else named if named in tracers else "",
        sampling=written.random_sampling_percentage,
        silent=written.disable_span_reporting,
        tags=None if written.custom_tags is None else tags(written.custom_tags),
        by_request_id=written.use_request_id_for_trace_sampling,
        istio_tags=written.enable_istio_tags,
        hides_context=written.disable_context_propagation,
    )


def _logging(written: AccessLogging, loggers: frozenset[str]) -> LoggingRule:
    return LoggingRule(
        roles=_roles(written.match),
        providers=tuple(each.name.lower() for each in written.providers),
        disabled=bool(written.disabled),
        filter=written.filter.expression if written.filter else "",
    )


def _roles(match: ModeSelector | None) -> frozenset[Role]:
    if match is None or match.mode is WorkloadMode.CLIENT_AND_SERVER:
        return BOTH
    return frozenset({Role(match.mode)})


def tags(written: Mapping[str, CustomTag]) -> tuple[Tag, ...]:
    """Tags, sorted by name."""
    return tuple(sorted(_tag(name, tag) for name, tag in written.items()))


def _tag(name: str, written: CustomTag) -> Tag:
    for source in (TagSource.ENVIRONMENT, TagSource.HEADER):
        if (named := getattr(written, source)) is not None:
            return Tag(name, source, named.name, named.default_value)
    source = TagSource.LITERAL if written.literal else TagSource.FORMATTER
    return Tag(name, source, getattr(written, source).value)


def _clash(document: Document, other: Document) -> Problem:
    message = f"{other.origin} is for the same workloads and is in force; this is not"
    return Place(document).error("duplicate-scope", message, "join them, or give one another selector")


def still_logged(holds: Iterable[tuple[Document, TelemetryPolicy]], defaults: TelemetryDefaults) -> Iterator[Problem]:
    """Rules that switch nothing off: `disabled` without a provider leaves MeshConfig's file as it is (Istio's rule)."""
    found = list(holds)
    mesh = next((policy.logging for _, policy in found if not policy.namespace), ())
    for document, policy in found if defaults.log_file else ():
        levels = [level for level in dict.fromkeys((mesh, policy.logging)) if level]
        merged = (name for role in Role for name in merged_logs(levels, defaults.logging, role))
        off = [index for index, rule in enumerate(policy.logging) if rule.disabled]
        if off and not any(map(defaults.has_logger, merged)):
            place = Place(document).at("accessLogging", off[0], "disabled")
            message = "names no provider, so MeshConfig.accessLogFile is still written"
            yield place.warning("still-logged", message, "remove accessLogFile, and set defaultProviders.accessLogging")


NO_MESH_CONFIG = TelemetryDefaults(providers=providers((), Format(), NO_ENVIRONMENT))
"""What holds in a mesh without a MeshConfig."""


def telemetry_defaults(document: Document, environment: Environment) -> Outcome[TelemetryDefaults]:
    """What a MeshConfig says of telemetry; headers may be from the server's `environment`."""
    spec, place = cast("MeshConfigSpec", document.spec), Place(document)
    mesh_format, wrong = _mesh_format(spec, place)
    known = providers(spec.extension_providers, mesh_format, environment)
    named, proxy = spec.default_providers, spec.default_config
    tracing = (proxy.tracing if proxy else None) or ProxyTracing()
    found = TelemetryDefaults(
        providers=known,
        tracing=tuple(name.lower() for name in named.tracing),
        logging=tuple(name.lower() for name in named.access_logging),
        metrics=tuple(name.lower() for name in named.metrics) or (BUILT_IN_METRICS,),
        log_file=FileLog(spec.access_log_file, mesh_format) if spec.access_log_file else None,
        listener_log=not spec.disable_envoy_listener_log,
        sampling=_sampling(tracing.sampling),
        tags=tags(tracing.custom_tags),
        istio_tags=tracing.enable_istio_tags is not False,
        max_tag_length=tracing.max_path_tag_length,
        origin=document.origin,
    )
    return Outcome(found, (*wrong, *unset(spec, place, environment), *_default_problems(place, spec, known)))


def _default_problems(place: Place, spec: MeshConfigSpec, known: tuple[Provider, ...]) -> Iterator[Problem]:
    at, named = place.at("defaultProviders"), spec.default_providers
    traces = ((at.at("tracing", index), name) for index, name in enumerate(named.tracing))
    yield from lost_names(traces, known, _traces, "takes no spans")
    logs = ((at.at("accessLogging", index), name) for index, name in enumerate(named.access_logging))
    yield from lost_names(logs, known, _logs, "takes no access logs")
    metrics = ((at.at("metrics", index), name) for index, name in enumerate(named.metrics))
    yield from lost_names(metrics, known, _measures, _TAKES_NO_METRICS)
    if spec.enable_tracing and not named.tracing:
        message = "names nobody who takes spans: nothing is traced unless a Telemetry names a provider"
        yield place.at("enableTracing").note("no-tracing-provider", message, "set defaultProviders.tracing")


def _sampling(written: float) -> float:
    """0 is not set, and more than everything is the default (Istio's rules)."""
    return written if 0 < written <= _HIGHEST_SAMPLING else ISTIO_SAMPLING


def _mesh_format(spec: MeshConfigSpec, place: Place) -> tuple[Format, tuple[Problem, ...]]:
    written = spec.access_log_format or ""
    if spec.access_log_encoding is not AccessLogEncoding.JSON:
        return Format(lines(written)), ()
    if not written or _is_object(written):
        return Format(fields=written, is_json=True), ()
    fix = 'write one such as {"status": "%RESPONSE_CODE%"}, or accessLogEncoding: TEXT'
    problem = place.at("accessLogFormat").error("invalid-value", "is not a JSON object: Istio's format is used", fix)
    return Format(is_json=True), (problem,)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def lost_collectors(document: Document, services: Services) -> Iterator[Problem]:
    """Providers of a MeshConfig that no proxy can reach, or that gRPC cannot be spoken to."""
    spec = cast("MeshConfigSpec", document.spec)
    for index, each in enumerate(spec.extension_providers):
        for path, written in _collecting(each):
            place = Place(document).at("extensionProviders", index, *path)
            yield from _lost_collector(place, written, services)


def _collecting(written: ExtensionProvider) -> Iterator[tuple[tuple[str, ...], ServiceProvider]]:
    """The services of a provider, and the fields in which they stand."""
    for name, field in type(written).model_fields.items():
        found = getattr(written, name)
        if isinstance(found, ServiceProvider):
            yield (str(field.alias),), found
    sampler = written.opentelemetry and written.opentelemetry.dynatrace_sampler
    if sampler and sampler.http_service:
        yield ("opentelemetry", "dynatraceSampler", "httpService"), sampler.http_service


def _lost_collector(place: Place, written: ServiceProvider, services: Services) -> Iterator[Problem]:
    namespace, _, host = written.service.rpartition("/")
    found = [each for each in services.named(host) if namespace in {"", each.namespace}]
    if not found:
        near = nearest(host, sorted({each.host for each in services.in_order}), "a ServiceEntry for")
        message = f"no service is called {written.service}: nothing is sent to it"
        yield place.at("service").warning("unknown-collector", message, near)
        return
    yield from _wrong_port(place, written, found[0])


def _wrong_port(place: Place, written: ServiceProvider, service: Service) -> Iterator[Problem]:
    port = service.port_by_number.get(written.port)
    if port is None:
        numbers = ", ".join(str(each.number) for each in service.ports)
        message = f"{service.host} has no port {written.port}: nothing is sent to it"
        yield place.at("port").warning("unknown-collector", message, f"its ports are {numbers}")
    elif _speaks_grpc(written) and not port.protocol.is_http2:
        message = f"gRPC is sent to port {port.number} of {service.host}, which is not declared to speak HTTP/2"
        yield place.at("port").warning("collector-protocol", message, "declare the port's protocol GRPC")
    if service.export_to not in {(), ("*",)}:
        message = f"{service.host} is not exported to every namespace: proxies that do not see it send nothing"
        yield place.at("service").warning("hidden-collector", message, 'export it to "*"')


def _speaks_grpc(written: ServiceProvider) -> bool:
    if isinstance(written, OpenTelemetryTracing):
        return written.http is None
    return not isinstance(written, ZipkinTracing | DatadogTracing | DynatraceApi)
