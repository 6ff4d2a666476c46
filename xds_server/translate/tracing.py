"""Which requests are traced, what their spans say, and who takes them.

Each tracer has trace headers of its own. Envoy reads and writes W3C's traceparent for OpenTelemetry, B3 for Zipkin
(with traceparent where the provider asks for both), Datadog's for Datadog and sw8 for SkyWalking. An application has
to send on, with each call, those that came with the request it is made for: no proxy can know which that is.
Source: Istio, pilot/pkg/networking/core/tracing.go.
"""

from __future__ import annotations

from collections.abc import Iterator

import betterproto2
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.trace import v3 as trace_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.request_id.uuid import v3 as uuid_v3
from envoy_data_plane.envoy.extensions.tracers.opentelemetry.resource_detectors import v3 as detectors_v3
from envoy_data_plane.envoy.extensions.tracers.opentelemetry.samplers import v3 as samplers_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.tracing import v3 as tracing_v3

from xds_server.mesh.service import Labels
from xds_server.mesh.telemetry import Datadog, OpenTelemetry, Sampler, SkyWalking, Tag, TagSource, Tracing, Zipkin
from xds_server.translate.collector import cluster, grpc_service, http_service
from xds_server.translate.encode import any_of

_ALL = type_v3.Percent(value=100.0)
_DETECTORS: dict[str, betterproto2.Message] = {
    "environment": detectors_v3.EnvironmentResourceDetectorConfig(),
    "dynatrace": detectors_v3.DynatraceResourceDetectorConfig(),
}


def http_tracing(tracing: Tracing) -> hcm_v3.HttpConnectionManagerTracing:
    """What an HTTP connection manager traces.

    A decision that came in x-request-id is kept; a traceparent can only be against tracing, unless request ids decide
    nothing: then it decides alone, and everything without one is traced whatever the share.
    """
    return hcm_v3.HttpConnectionManagerTracing(
        client_sampling=_ALL,
        random_sampling=type_v3.Percent(value=tracing.sampling),
        overall_sampling=_ALL,
        max_path_tag_length=tracing.max_tag_length or None,
        custom_tags=[_tag(tag) for tag in tracing.tags],
        provider=_provider(tracing),
        # SkyWalking's protocol has an exit span for each call, so its tracer needs one of its own (Istio's rule).
        spawn_upstream_span=True if tracing.spawns or isinstance(tracing.tracer, SkyWalking) else None,
        no_context_propagation=tracing.hides_context,
    )


def request_ids(tracing: Tracing) -> hcm_v3.RequestIdExtension | None:
    """Request ids that decide nothing, where a policy asks for that; None is Envoy's own, which tell who is traced."""
    if tracing.by_request_id:
        return None
    config = uuid_v3.UuidRequestIdConfig(use_request_id_for_trace_sampling=False)
    return hcm_v3.RequestIdExtension(typed_config=any_of(config))


def _provider(tracing: Tracing) -> trace_v3.TracingHttp:
    match tracing.tracer:
        case OpenTelemetry() as tracer:
            return _http("opentelemetry", _opentelemetry(tracer, tracing))
        case Zipkin() as tracer:
            return _http("zipkin", _zipkin(tracer))
        case Datadog() as tracer:
            return _http("datadog", _datadog(tracer, tracing.service))
        case SkyWalking() as tracer:
            return _http("skywalking", _skywalking(tracer, tracing.service))


def _http(name: str, config: betterproto2.Message) -> trace_v3.TracingHttp:
    return trace_v3.TracingHttp(name=f"envoy.tracers.{name}", typed_config=any_of(config))


def _opentelemetry(tracer: OpenTelemetry, tracing: Tracing) -> trace_v3.OpenTelemetryConfig:
    by_http = tracer.path is not None and tracer.timeout is not None
    return trace_v3.OpenTelemetryConfig(
        grpc_service=None
        if by_http
        else grpc_service(tracer.collector, timeout=tracer.timeout, metadata=tracer.headers),
        http_service=http_service(tracer.collector, tracer.path, tracer.timeout, tracer.headers)
        if tracer.path is not None and tracer.timeout is not None
        else None,
        service_name=tracing.service,
        resource_detectors=[
            _extension(f"resource_detectors.{name}", config) for name, config in _detectors(tracer, tracing.attributes)
        ],
        sampler=_sampler(tracer.sampler) if tracer.sampler else None,
    )


def _detectors(tracer: OpenTelemetry, attributes: Labels) -> Iterator[tuple[str, betterproto2.Message]]:
    """By the end of their names. A later one wins, as OpenTelemetry merges resources."""
    if attributes:
        yield "static_config", detectors_v3.StaticConfigResourceDetectorConfig(attributes=dict(attributes))
    yield from ((name, _DETECTORS[name]) for name in tracer.detectors)


def _sampler(sampler: Sampler) -> core_v3.TypedExtensionConfig:
    config = samplers_v3.DynatraceSamplerConfig(
        tenant=sampler.tenant,
        cluster_id=sampler.cluster_id,
        http_service=http_service(sampler.collector, sampler.path, sampler.timeout, sampler.headers),
        root_spans_per_minute=sampler.root_spans_per_minute,
    )
    return _extension("samplers.dynatrace", config)


def _extension(name: str, config: betterproto2.Message) -> core_v3.TypedExtensionConfig:
    return core_v3.TypedExtensionConfig(name=f"envoy.tracers.opentelemetry.{name}", typed_config=any_of(config))


def _zipkin(tracer: Zipkin) -> trace_v3.ZipkinConfig:
    options = trace_v3.ZipkinConfigTraceContextOption
    return trace_v3.ZipkinConfig(
        collector_service=http_service(tracer.collector, tracer.path, tracer.timeout, tracer.headers),
        collector_endpoint_version=trace_v3.ZipkinConfigCollectorEndpointVersion.HTTP_JSON,
        trace_id_128bit=tracer.long_ids,
        shared_span_context=False,
        trace_context_option=options.USE_B3_WITH_W3C_PROPAGATION if tracer.w3c else options.USE_B3,
    )


def _datadog(tracer: Datadog, service: str) -> trace_v3.DatadogConfig:
    to = tracer.collector
    return trace_v3.DatadogConfig(collector_cluster=cluster(to), service_name=service, collector_hostname=to.host)


def _skywalking(tracer: SkyWalking, service: str) -> trace_v3.SkyWalkingConfig:
    client = trace_v3.ClientConfig(service_name=service, backend_token=tracer.token or None)
    return trace_v3.SkyWalkingConfig(grpc_service=grpc_service(tracer.collector), client_config=client)


def _tag(tag: Tag) -> tracing_v3.CustomTag:
    match tag.source:
        case TagSource.LITERAL:
            return tracing_v3.CustomTag(tag=tag.name, literal=tracing_v3.CustomTagLiteral(value=tag.value))
        case TagSource.ENVIRONMENT:
            found = tracing_v3.CustomTagEnvironment(name=tag.value, default_value=tag.default)
            return tracing_v3.CustomTag(tag=tag.name, environment=found)
        case TagSource.HEADER:
            header = tracing_v3.CustomTagHeader(name=tag.value, default_value=tag.default)
            return tracing_v3.CustomTag(tag=tag.name, request_header=header)
        case TagSource.FORMATTER:
            return tracing_v3.CustomTag(tag=tag.name, value=tag.value)
