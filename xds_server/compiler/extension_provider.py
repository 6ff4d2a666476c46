"""What MeshConfig's extensionProviders mean: who takes spans, access logs and metrics, and in which form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

from xds_server.compiler.finding import Place
from xds_server.compiler.premises import Environment
from xds_server.mesh.telemetry import (
    BUILT_IN_METRICS,
    ZIPKIN_PATH,
    Collector,
    Datadog,
    FileLog,
    Format,
    GrpcLog,
    Headers,
    Logger,
    OpenTelemetry,
    OtelLog,
    Provider,
    Sampler,
    SkyWalking,
    Tracer,
    Zipkin,
)
from xds_server.policy.extension_provider import (
    ExtensionProvider,
    FileAccessLog,
    GrpcExport,
    HttpAccessLogService,
    HttpHeader,
    LogFormat,
    OpenTelemetryTracing,
    OtelAccessLogService,
    ServiceAttributeEnrichment,
    ServiceProvider,
    SkyWalkingTracing,
    TcpAccessLogService,
    TraceContextOption,
    ZipkinTracing,
)
from xds_server.policy.http_words import has_control_character, is_too_long
from xds_server.policy.mesh_config import MeshConfigSpec
from xds_server.problem import Problem

BUILT_IN_LOG = "envoy"
"""Istio's own provider, which logs to standard output in MeshConfig's format."""
STANDARD_OUTPUT = "/dev/stdout"
_STACKDRIVER = "stackdriver"
_HTTP_LOG, _TCP_LOG, _OTEL_LOG = "http_envoy_accesslog", "tcp_envoy_accesslog", "otel_envoy_accesslog"
"""What logs are called that nobody gave a name (Istio's)."""
_TIMEOUT = timedelta(seconds=5)
_SAMPLING = "/api/v2/samplingConfiguration"
"""Where Dynatrace is asked unless a policy says otherwise (Istio's)."""


def providers(
    written: Iterable[ExtensionProvider], mesh_format: Format, environment: Environment
) -> tuple[Provider, ...]:
    """Those that are written, and Istio's own where none of the same name is; `mesh_format` is MeshConfig's."""
    found = [provider(each, mesh_format, environment) for each in written]
    names = {each.name.lower() for each in found}
    built_in = (
        Provider(BUILT_IN_LOG, logger=FileLog(STANDARD_OUTPUT, mesh_format)),
        Provider(BUILT_IN_METRICS, measures=True),
        Provider(_STACKDRIVER),
    )
    return (*found, *(each for each in built_in if each.name not in names))


def provider(written: ExtensionProvider, mesh_format: Format, environment: Environment) -> Provider:
    """One of them."""
    tag_length = getattr(written.kind, "max_tag_length", 0)
    measures = written.prometheus is not None
    return Provider(written.name, _tracer(written, environment), _logger(written, mesh_format), tag_length, measures)


def lines(text: str) -> str:
    """A format of lines, ended as one (Istio's rule)."""
    return text if not text or text.endswith("\n") else f"{text}\n"


def _tracer(written: ExtensionProvider, environment: Environment) -> Tracer | None:
    if written.opentelemetry:
        return _opentelemetry(written.opentelemetry, environment)
    if written.zipkin:
        return _zipkin(written.zipkin, environment)
    if written.datadog:
        return Datadog(_collector(written.datadog))
    return _skywalking(written.skywalking) if written.skywalking else None


def _opentelemetry(written: OpenTelemetryTracing, environment: Environment) -> OpenTelemetry:
    http, grpc = written.http, written.grpc or GrpcExport()
    return OpenTelemetry(
        _collector(written),
        _path(http.path) if http else None,
        (http.timeout or _TIMEOUT) if http else grpc.timeout,
        _headers(http.headers, environment) if http else _headers(grpc.initial_metadata, environment, ""),
        tuple(_detectors(written)),
        _sampler(written, environment),
        written.service_attribute_enrichment is ServiceAttributeEnrichment.OTEL_SEMANTIC_CONVENTIONS,
    )


def _detectors(written: OpenTelemetryTracing) -> Iterator[str]:
    detectors = written.resource_detectors
    if detectors is not None:
        yield from (name for name in ("environment", "dynatrace") if getattr(detectors, name) is not None)


def _sampler(written: OpenTelemetryTracing, environment: Environment) -> Sampler | None:
    found = written.dynatrace_sampler
    own = found and found.http_service
    http = own.http if own else written.http
    if found is None or http is None:
        return None
    return Sampler(
        _collector(own or written),
        _path(own.http.path if own else _SAMPLING),
        http.timeout or _TIMEOUT,
        found.tenant,
        found.cluster_id,
        found.root_spans_per_minute,
        _headers(http.headers, environment, "%"),
    )


def _skywalking(written: SkyWalkingTracing) -> SkyWalking:
    return SkyWalking(_collector(written), written.access_token.get_secret_value())


def _zipkin(written: ZipkinTracing, environment: Environment) -> Zipkin:
    return Zipkin(
        _collector(written),
        _path(written.path or ZIPKIN_PATH),
        not written.enable_64bit_trace_id,
        written.trace_context_option is TraceContextOption.USE_B3_WITH_W3C_PROPAGATION,
        written.timeout or _TIMEOUT,
        _headers(written.headers, environment),
    )


def _logger(written: ExtensionProvider, mesh_format: Format) -> Logger | None:
    if written.envoy_file_access_log:
        return _file(written.name, written.envoy_file_access_log, mesh_format)
    if written.envoy_http_als:
        return _http_log(written.envoy_http_als)
    if written.envoy_tcp_als:
        return _tcp_log(written.envoy_tcp_als)
    return _otel(written.envoy_otel_als) if written.envoy_otel_als else None


def _file(name: str, written: FileAccessLog, mesh_format: Format) -> FileLog:
    path = written.path or STANDARD_OUTPUT
    if name.lower() == BUILT_IN_LOG and written.log_format is None and not written.omit_empty_values:
        return FileLog(path, mesh_format)
    return FileLog(path, _format(written.log_format or LogFormat(), omits_empty=written.omit_empty_values))


def _format(written: LogFormat, *, omits_empty: bool) -> Format:
    return Format(lines(written.text or ""), _json(written.labels), written.labels is not None, omits_empty)


def _http_log(written: HttpAccessLogService) -> GrpcLog:
    return GrpcLog(
        _collector(written),
        written.log_name or _HTTP_LOG,
        of_requests=True,
        filter_state=written.filter_state_objects_to_log,
        request_headers=written.additional_request_headers_to_log,
        response_headers=written.additional_response_headers_to_log,
        response_trailers=written.additional_response_trailers_to_log,
    )


def _tcp_log(written: TcpAccessLogService) -> GrpcLog:
    state = written.filter_state_objects_to_log
    return GrpcLog(_collector(written), written.log_name or _TCP_LOG, of_requests=False, filter_state=state)


def _otel(written: OtelAccessLogService) -> OtelLog:
    log_format = written.log_format
    body, attributes = (log_format.text, _json(log_format.labels)) if log_format else ("", "")
    return OtelLog(_collector(written), written.log_name or _OTEL_LOG, body, attributes)


def _json(labels: Mapping[str, object] | None) -> str:
    """A value that can be compared and hashed."""
    return json.dumps(labels, sort_keys=True) if labels else ""


def _collector(written: ServiceProvider) -> Collector:
    namespace, _, host = written.service.rpartition("/")
    return Collector(host, written.port, namespace)


def _path(written: str) -> str:
    return f"/{written.removeprefix('/')}"


def _headers(written: Iterable[HttpHeader], environment: Environment, per_cent: str = "%%") -> Headers:
    """Those that can be sent; `per_cent` see `_value`."""
    values = ((header.name, _value(header, environment, per_cent)) for header in written)
    return tuple((name, value) for name, value in values if value is not None)


def _value(written: HttpHeader, environment: Environment, per_cent: str) -> str | None:
    """What Envoy is to send; None for a variable that is not set or cannot be sent.

    What comes from the environment is sent as it stands there, but for white space around it: files end with a line.

    Args:
        written: the header.
        environment: the server's.
        per_cent: how Envoy is told of a per cent sign. In headers of HTTP it begins a variable, but for a sampler's. In
            gRPC's metadata "%%" is sent as it stands, and of a single one Envoy complains in its log with the whole
            value: "" is neither.
    """
    if written.value is not None:
        return written.value.get_secret_value()
    value = environment.get(written.env_name or "")
    if value is None or has_control_character(value.strip()) or ("%" in value and not per_cent):
        return None
    sent = value.strip().replace("%", per_cent)
    return None if is_too_long(sent) else sent


def unset(spec: MeshConfigSpec, place: Place, environment: Environment) -> Iterator[Problem]:
    """A warning for each header that is left out because the environment does not have it."""
    for index, provider in enumerate(spec.extension_providers):
        for path, headers in _all_headers(provider):
            for at, header in enumerate(headers):
                if _value(header, environment, "" if path[-1] == "initialMetadata" else "%%") is None:
                    message = f"there is no {header.env_name} in the environment that can be sent: it is left out"
                    where = place.at("extensionProviders", index, *path, at, "envName")
                    yield where.warning("unset-variable", message, "set it where the server is started")


def _all_headers(written: ExtensionProvider) -> Iterator[tuple[tuple[str, ...], tuple[HttpHeader, ...]]]:
    if written.zipkin:
        yield ("zipkin", "headers"), written.zipkin.headers
    found = written.opentelemetry
    if found and found.http:
        yield ("opentelemetry", "http", "headers"), found.http.headers
    if found and found.grpc:
        yield ("opentelemetry", "grpc", "initialMetadata"), found.grpc.initial_metadata
    if found and found.dynatrace_sampler and found.dynatrace_sampler.http_service:
        above = ("opentelemetry", "dynatraceSampler", "httpService", "http", "headers")
        yield above, found.dynatrace_sampler.http_service.http.headers
