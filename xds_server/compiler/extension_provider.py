"""What MeshConfig's extensionProviders mean: who takes spans, access logs and metrics, and in which form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta

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
    SkyWalking,
    Tracer,
    Zipkin,
)
from xds_server.policy.extension_provider import (
    ExtensionProvider,
    FileAccessLog,
    HttpAccessLogService,
    HttpHeader,
    LogFormat,
    OpenTelemetryTracing,
    OtelAccessLogService,
    ServiceProvider,
    TcpAccessLogService,
    TraceContextOption,
    ZipkinTracing,
)

BUILT_IN_LOG = "envoy"
"""Istio's own provider, which logs to standard output in MeshConfig's format."""
STANDARD_OUTPUT = "/dev/stdout"
_STACKDRIVER = "stackdriver"
_HTTP_LOG, _TCP_LOG, _OTEL_LOG = "http_envoy_accesslog", "tcp_envoy_accesslog", "otel_envoy_accesslog"
"""What logs are called that nobody gave a name (Istio's)."""
_TIMEOUT = timedelta(seconds=5)


def providers(written: Iterable[ExtensionProvider], mesh_format: Format) -> tuple[Provider, ...]:
    """Those that are written, and Istio's own where none of the same name is; `mesh_format` is MeshConfig's."""
    found = [provider(each, mesh_format) for each in written]
    names = {each.name.lower() for each in found}
    built_in = (
        Provider(BUILT_IN_LOG, logger=FileLog(STANDARD_OUTPUT, mesh_format)),
        Provider(BUILT_IN_METRICS, measures=True),
        Provider(_STACKDRIVER),
    )
    return (*found, *(each for each in built_in if each.name not in names))


def provider(written: ExtensionProvider, mesh_format: Format) -> Provider:
    """One of them."""
    tag_length = getattr(written.kind, "max_tag_length", 0)
    measures = written.prometheus is not None
    return Provider(written.name, _tracer(written), _logger(written, mesh_format), tag_length, measures)


def lines(text: str) -> str:
    """A format of lines, ended as one (Istio's rule)."""
    return text if not text or text.endswith("\n") else f"{text}\n"


def _tracer(written: ExtensionProvider) -> Tracer | None:
    if written.opentelemetry:
        return _opentelemetry(written.opentelemetry)
    if written.zipkin:
        return _zipkin(written.zipkin)
    if written.datadog:
        return Datadog(_collector(written.datadog))
    return SkyWalking(_collector(written.skywalking)) if written.skywalking else None


def _opentelemetry(written: OpenTelemetryTracing) -> OpenTelemetry:
    collector, detectors = _collector(written), tuple(_detectors(written))
    if written.http is not None:
        http = written.http
        return OpenTelemetry(collector, _path(http.path), http.timeout or _TIMEOUT, _headers(http.headers), detectors)
    timeout = written.grpc.timeout if written.grpc else None
    metadata = written.grpc.initial_metadata if written.grpc else ()
    return OpenTelemetry(collector, None, timeout, _headers(metadata), detectors)


def _detectors(written: OpenTelemetryTracing) -> Iterator[str]:
    detectors = written.resource_detectors
    if detectors is not None:
        yield from (name for name in ("environment", "dynatrace") if getattr(detectors, name) is not None)


def _zipkin(written: ZipkinTracing) -> Zipkin:
    return Zipkin(
        _collector(written),
        _path(written.path or ZIPKIN_PATH),
        not written.enable_64bit_trace_id,
        written.trace_context_option is TraceContextOption.USE_B3_WITH_W3C_PROPAGATION,
        written.timeout or _TIMEOUT,
        _headers(written.headers),
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


def _headers(written: Iterable[HttpHeader]) -> Headers:
    return tuple((header.name, header.value) for header in written if header.value is not None)
