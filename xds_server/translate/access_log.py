"""Which requests and connections are logged, in which form, and where to.

Source: Istio, pilot/pkg/model/telemetry_logging.go, whose formats and names these are.
"""

from __future__ import annotations

import json

import betterproto2
from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.access_loggers.file import v3 as file_v3
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel import v3 as cel_v3
from envoy_data_plane.envoy.extensions.access_loggers.grpc import v3 as grpc_v3
from envoy_data_plane.envoy.extensions.access_loggers.open_telemetry import v3 as otel_v3
from envoy_data_plane.envoy.extensions.access_loggers.stream import v3 as stream_v3
from envoy_data_plane.envoy.extensions.formatter.req_without_query import v3 as req_without_query_v3
from envoy_data_plane.opentelemetry.proto.common import v1 as otlp_v1

from xds_server.mesh.telemetry import FileLog, Format, GrpcLog, Log, OtelLog, Reports
from xds_server.translate.collector import grpc_service
from xds_server.translate.encode import any_of
from xds_server.translate.metadata import struct

NO_CHAIN = "NR"
"""Response flag of a connection that no filter chain takes, such as a plain one to a STRICT port."""

ISTIO_TEXT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
"""Istio's line (EnvoyTextLogFormat)."""
ISTIO_FIELDS = {
    "start_time": "%START_TIME%",
    "route_name": "%ROUTE_NAME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
"""Istio's JSON object (EnvoyJSONLogFormatIstio)."""


def access_logs(reports: Reports) -> list[accesslog_v3.AccessLog]:
    """The access logs of an HTTP connection manager or a TCP proxy."""
    return [_access_log(log) for log in reports.logs]


def listener_logs(reports: Reports) -> list[accesslog_v3.AccessLog]:
    """Those of a listener: for connections that no filter chain takes, which no other log would ever see."""
    return [_access_log(log, no_chain()) for log in reports.logs] if reports.listener_log else []


def no_chain() -> accesslog_v3.AccessLogFilter:
    """Only connections that no filter chain takes."""
    return accesslog_v3.AccessLogFilter(response_flag_filter=accesslog_v3.ResponseFlagFilter(flags=[NO_CHAIN]))


def expression(text: str) -> accesslog_v3.AccessLogFilter:
    """Only that for which a CEL expression holds."""
    return accesslog_v3.AccessLogFilter(
        extension_filter=accesslog_v3.ExtensionFilter(
            name="envoy.access_loggers.extension_filters.cel",
            typed_config=any_of(cel_v3.ExpressionFilter(expression=text)),
        )
    )


def _access_log(log: Log, *filters: accesslog_v3.AccessLogFilter) -> accesslog_v3.AccessLog:
    name, config = _logger(log)
    wanted = [*filters, *([expression(log.filter)] if log.filter else [])]
    both = accesslog_v3.AccessLogFilter(and_filter=accesslog_v3.AndFilter(filters=wanted))
    return accesslog_v3.AccessLog(
        name=f"envoy.access_loggers.{name}",
        filter=None if not wanted else wanted[0] if len(wanted) == 1 else both,
        typed_config=any_of(config),
    )


def _logger(log: Log) -> tuple[str, betterproto2.Message]:
    match log.logger:
        case FileLog() as logger:
            return _file(logger)
        case GrpcLog() as logger:
            return _grpc(logger)
        case OtelLog() as logger:
            return "open_telemetry", _otel(logger)


def _file(logger: FileLog) -> tuple[str, betterproto2.Message]:
    """The proxy's own streams are written to as they are open: a user that is not root may not open them again."""
    line = _line(logger.format)
    if logger.path == "/dev/stdout":
        return "stdout", stream_v3.StdoutAccessLog(log_format=line)
    if logger.path == "/dev/stderr":
        return "stderr", stream_v3.StderrAccessLog(log_format=line)
    return "file", file_v3.FileAccessLog(path=logger.path, log_format=line)


def _line(found: Format) -> core_v3.SubstitutionFormatString:
    fields = json.loads(found.fields) if found.fields else ISTIO_FIELDS
    text = found.text or ISTIO_TEXT
    return core_v3.SubstitutionFormatString(
        json_format=struct(fields) if found.is_json else None,
        text_format_source=None if found.is_json else core_v3.DataSource(inline_string=text),
        omit_empty_values=found.omits_empty,
        formatters=_formatters(found.fields if found.is_json else text),
    )


def _formatters(text: str) -> list[core_v3.TypedExtensionConfig]:
    """The extension behind an operator that is not built in, as METADATA and CEL are, which Istio names too."""
    if "%REQ_WITHOUT_QUERY(" not in text:
        return []
    config = any_of(req_without_query_v3.ReqWithoutQuery())
    return [core_v3.TypedExtensionConfig(name="envoy.formatter.req_without_query", typed_config=config)]


_GRPC_STATUS = ("grpc-status", "grpc-message")
"""Without them a call of gRPC that failed is logged as HTTP's 200. They are headers where nothing else is answered."""


def _grpc(logger: GrpcLog) -> tuple[str, betterproto2.Message]:
    common = grpc_v3.CommonGrpcAccessLogConfig(
        log_name=logger.name,
        grpc_service=grpc_service(logger.collector),
        transport_api_version=core_v3.ApiVersion.V3,
        filter_state_objects_to_log=list(logger.filter_state),
    )
    if not logger.of_requests:
        return "tcp_grpc", grpc_v3.TcpGrpcAccessLogConfig(common_config=common)
    return "http_grpc", grpc_v3.HttpGrpcAccessLogConfig(
        common_config=common,
        additional_request_headers_to_log=list(logger.request_headers),
        additional_response_headers_to_log=list(dict.fromkeys((*logger.response_headers, *_GRPC_STATUS))),
        additional_response_trailers_to_log=list(dict.fromkeys((*logger.response_trailers, *_GRPC_STATUS))),
    )


def _otel(logger: OtelLog) -> otel_v3.OpenTelemetryAccessLogConfig:
    body = logger.body or ISTIO_TEXT
    attributes: dict[str, object] = json.loads(logger.attributes) if logger.attributes else {}
    values = [otlp_v1.KeyValue(key=key, value=_string(str(attributes[key]))) for key in sorted(attributes)]
    return otel_v3.OpenTelemetryAccessLogConfig(
        log_name=logger.name,
        grpc_service=grpc_service(logger.collector),
        disable_builtin_labels=True,
        body=_string(body),
        attributes=otlp_v1.KeyValueList(values=values) if values else None,
        formatters=_formatters(body + logger.attributes),
    )


def _string(text: str) -> otlp_v1.AnyValue:
    return otlp_v1.AnyValue(string_value=text)
