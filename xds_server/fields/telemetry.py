"""Telemetry, and what MeshConfig says of the same: field by field."""

from __future__ import annotations

from collections.abc import Mapping

from xds_server.fields.row import BLOCK, Row, Rows, becomes, decides, refused, without_effect
from xds_server.policy import extension_provider as e
from xds_server.policy import proxy_config as p
from xds_server.policy import telemetry as t
from xds_server.policy import trace_tag as g

_KUBERNETES = "names what only Kubernetes has"
_CLUSTER = becomes("GrpcService.EnvoyGrpc.cluster_name", "HttpUri.cluster", words="of the service")
_PORT = decides("which cluster of the service is meant")
_TAG_LENGTH = becomes("HttpConnectionManager.Tracing.max_path_tag_length", default="Envoy's: 256")
_TRACER = {"service": _CLUSTER, "port": _PORT, "maxTagLength": _TAG_LENGTH}
_NAMED = {"name": becomes("CustomTag.Header.name", "CustomTag.Environment.name")}
_CONNECTIONS = {
    "service": _CLUSTER,
    "port": _PORT,
    "logName": becomes("CommonGrpcAccessLogConfig.log_name", default="http_envoy_accesslog or tcp_envoy_accesslog"),
    "filterStateObjectsToLog": becomes("CommonGrpcAccessLogConfig.filter_state_objects_to_log"),
}
_TAGS = {
    "literal": BLOCK,
    "environment": BLOCK,
    "header": BLOCK,
}


def _without_effect(reasons: Mapping[str, str]) -> dict[str, Row]:
    return {field: without_effect(because) for field, because in reasons.items()}


TELEMETRY: Rows = {
    t.TelemetrySpec: {
        "selector": BLOCK,
        "targetRef": refused(_KUBERNETES),
        "targetRefs": refused(_KUBERNETES),
        "tracing": BLOCK,
        "metrics": BLOCK,
        "accessLogging": BLOCK,
    },
    t.ModeSelector: {"mode": decides("whether it is about requests going out, coming in, or both", "both")},
    t.ProviderRef: {"name": decides("which of MeshConfig's extensionProviders is meant")},
    t.Tracing: {
        "match": BLOCK,
        "providers": becomes(
            "HttpConnectionManager.Tracing.provider", words="the first", default="MeshConfig's defaultProviders"
        ),
        "randomSamplingPercentage": becomes(
            "HttpConnectionManager.Tracing.random_sampling", default="MeshConfig's defaultConfig: 1"
        ),
        "disableSpanReporting": decides("that nothing is traced", "false"),
        "customTags": becomes("HttpConnectionManager.Tracing.custom_tags", default="MeshConfig's defaultConfig"),
        "useRequestIdForTraceSampling": becomes(
            "UuidRequestIdConfig.use_request_id_for_trace_sampling", default="true"
        ),
        "enableIstioTags": becomes(
            "HttpConnectionManager.Tracing.custom_tags",
            words="istio.canonical_service, istio.canonical_revision and istio.namespace",
            default="true",
        ),
        "disableContextPropagation": becomes("HttpConnectionManager.Tracing.no_context_propagation", default="false"),
    },
    t.Metrics: {
        "providers": decides(
            "that metrics are shown at all: one of kind prometheus is this server's /metrics",
            "MeshConfig's defaultProviders",
        ),
        "overrides": BLOCK,
        "reportingInterval": without_effect(t.WITHOUT_INTERVAL),
    },
    t.MetricsOverrides: {
        "match": BLOCK,
        "disabled": decides("that /metrics does not show them", "false"),
        "tagOverrides": BLOCK,
    },
    t.MetricSelector: {
        "metric": decides("which of envoy/metrics.md are meant, by Istio's names", "ALL_METRICS"),
        "customMetric": decides("the same by this server's own names; any other is an error"),
        "mode": decides("whether it is about what clients tell, servers, or both", "both"),
    },
    t.TagOverride: {
        "operation": decides("whether a label is set or taken away", "UPSERT"),
        "value": decides("its value: a text in quotes, or what is known of the workload; any other is an error"),
    },
    t.AccessLogging: {
        "match": BLOCK,
        "providers": becomes(
            "HttpConnectionManager.access_log",
            "TcpProxy.access_log",
            "Listener.access_log",
            default="those of the entry before it, MeshConfig's defaultProviders, its accessLogFile",
        ),
        "disabled": decides("that those providers log nothing", "false"),
        "filter": BLOCK,
    },
    t.LogFilter: {"expression": becomes("ExpressionFilter.expression")},
    g.CustomTag: _TAGS,
    g.FormattedCustomTag: {**_TAGS, "formatter": becomes("CustomTag.value")},
    g.LiteralTag: {"value": becomes("CustomTag.Literal.value", "CustomTag.value")},
    g.NamedTag: {
        **_NAMED,
        "defaultValue": becomes("CustomTag.Header.default_value", "CustomTag.Environment.default_value"),
    },
}
PROVIDERS: Rows = {
    e.ExtensionProvider: {
        "name": decides("what Telemetry calls it"),
        "zipkin": BLOCK,
        "datadog": BLOCK,
        "skywalking": BLOCK,
        "opentelemetry": BLOCK,
        "prometheus": decides("that it is this server's /metrics"),
        "envoyFileAccessLog": BLOCK,
        "envoyHttpAls": BLOCK,
        "envoyTcpAls": BLOCK,
        "envoyOtelAls": BLOCK,
        **_without_effect(e.SERVED_BY_NOBODY),
    },
    e.OpenTelemetryTracing: {
        **_TRACER,
        "http": BLOCK,
        "grpc": BLOCK,
        "resourceDetectors": becomes("OpenTelemetryConfig.resource_detectors"),
        "dynatraceSampler": BLOCK,
        "serviceAttributeEnrichment": becomes(
            "OpenTelemetryConfig.service_name",
            "StaticConfigResourceDetectorConfig.attributes",
        ),
    },
    e.DynatraceSampler: {
        "tenant": becomes("DynatraceSamplerConfig.tenant"),
        "clusterId": becomes("DynatraceSamplerConfig.cluster_id"),
        "rootSpansPerMinute": becomes("DynatraceSamplerConfig.root_spans_per_minute", default="Envoy's: 1000"),
        "httpService": BLOCK,
    },
    e.DynatraceApi: {"service": _CLUSTER, "port": _PORT, "http": BLOCK},
    e.HttpExport: {
        "path": becomes("HttpUri.uri", default="/"),
        "timeout": becomes("HttpUri.timeout", default="5 s"),
        "headers": becomes("HttpService.request_headers_to_add"),
    },
    e.GrpcExport: {
        "timeout": becomes("GrpcService.timeout", default="Envoy's: none"),
        "initialMetadata": becomes("GrpcService.initial_metadata"),
    },
    e.HttpHeader: {
        "name": becomes("HeaderValue.key"),
        "value": becomes("HeaderValue.value"),
        "envName": becomes("HeaderValue.value", words="what the server's environment has by that name"),
    },
    e.ResourceDetectors: {
        "environment": becomes("OpenTelemetryConfig.resource_detectors"),
        "dynatrace": becomes("OpenTelemetryConfig.resource_detectors"),
    },
    e.ZipkinTracing: {
        **_TRACER,
        "enable64bitTraceId": becomes("ZipkinConfig.trace_id_128bit", words="inverted"),
        "path": becomes("HttpUri.uri", default="/api/v2/spans"),
        "traceContextOption": becomes("ZipkinConfig.trace_context_option"),
        "timeout": becomes("HttpUri.timeout", default="5 s"),
        "headers": becomes("HttpService.request_headers_to_add"),
    },
    e.DatadogTracing: _TRACER,
    e.SkyWalkingTracing: {"service": _CLUSTER, "port": _PORT, "accessToken": becomes("ClientConfig.backend_token")},
    e.FileAccessLog: {
        "path": becomes("FileAccessLog.path", default="/dev/stdout"),
        "logFormat": becomes("FileAccessLog.log_format", default="Istio's line"),
        "omitEmptyValues": becomes("SubstitutionFormatString.omit_empty_values"),
    },
    e.LogFormat: {
        "text": becomes("SubstitutionFormatString.text_format_source"),
        "labels": becomes("SubstitutionFormatString.json_format"),
    },
    e.TcpAccessLogService: _CONNECTIONS,
    e.HttpAccessLogService: {
        **_CONNECTIONS,
        "additionalRequestHeadersToLog": becomes("HttpGrpcAccessLogConfig.additional_request_headers_to_log"),
        "additionalResponseHeadersToLog": becomes("HttpGrpcAccessLogConfig.additional_response_headers_to_log"),
        "additionalResponseTrailersToLog": becomes("HttpGrpcAccessLogConfig.additional_response_trailers_to_log"),
    },
    e.OtelAccessLogService: {
        "service": _CLUSTER,
        "port": _PORT,
        "logName": becomes("OpenTelemetryAccessLogConfig.log_name", default="otel_envoy_accesslog"),
        "logFormat": BLOCK,
    },
    e.OtelLogFormat: {
        "text": becomes("OpenTelemetryAccessLogConfig.body", default="Istio's line"),
        "labels": becomes("OpenTelemetryAccessLogConfig.attributes"),
    },
    e.DefaultProviders: {
        "tracing": becomes("HttpConnectionManager.Tracing.provider", words="the first"),
        "metrics": decides("whether /metrics shows anything", "prometheus"),
        "accessLogging": becomes("HttpConnectionManager.access_log", "TcpProxy.access_log", "Listener.access_log"),
    },
    p.ProxyConfig: {
        "tracing": BLOCK,
        "gatewayTopology": BLOCK,
        "proxyHeaders": BLOCK,
        "connectionSettings": BLOCK,
        **_without_effect(p.OF_THE_AGENT),
    },
    p.GatewayTopology: {
        "numTrustedProxies": becomes("HttpConnectionManager.xff_num_trusted_hops", words="of routers"),
        "forwardClientCertDetails": becomes(
            "HttpConnectionManager.forward_client_cert_details", words="of routers", default="SANITIZE_SET"
        ),
        "proxyProtocol": becomes("Listener.listener_filters", words="of routers", default="off"),
    },
    p.ProxyHeaders: {
        "forwardedClientCert": becomes(
            "HttpConnectionManager.forward_client_cert_details", words="towards applications", default="APPEND_FORWARD"
        ),
        "setCurrentClientCertDetails": becomes(
            "HttpConnectionManager.set_current_client_cert_details", words="towards applications"
        ),
        "requestId": becomes("HttpConnectionManager.generate_request_id", default="there"),
        "server": BLOCK,
        "attemptCount": becomes("VirtualHost.include_request_attempt_count", default="there"),
        "envoyDebugHeaders": becomes("Router.suppress_envoy_headers", words="inverted", default="there"),
        "metadataExchangeHeaders": without_effect(p.WITHOUT_EXCHANGE),
        "preserveHttp1HeaderCase": becomes("Http1ProtocolOptions.header_key_format", default="false"),
        "xForwardedHost": becomes("RouteAction.append_x_forwarded_host", default="not there"),
        "xForwardedPort": becomes("HttpConnectionManager.append_x_forwarded_port", default="not there"),
    },
    p.ServerHeader: {
        "disabled": becomes("HttpConnectionManager.server_header_transformation", default="false"),
        "value": becomes(
            "HttpConnectionManager.server_name", default="istio-envoy; of requests going out Envoy's: envoy"
        ),
    },
    p.HeaderWithout: {"disabled": decides("whether it is left out", "false")},
    p.HeaderWith: {"enabled": decides("whether it is there", "false")},
    p.SetCurrentClientCertDetails: {
        "subject": becomes("HttpConnectionManager.SetCurrentClientCertDetails.subject", default="true"),
        "cert": becomes("HttpConnectionManager.SetCurrentClientCertDetails.cert", default="false"),
        "chain": becomes("HttpConnectionManager.SetCurrentClientCertDetails.chain", default="false"),
        "dns": becomes("HttpConnectionManager.SetCurrentClientCertDetails.dns", default="true"),
        "uri": becomes("HttpConnectionManager.SetCurrentClientCertDetails.uri", default="true"),
    },
    p.ConnectionSettings: {
        "profile": decides("what holds where nothing is written: EDGE is Envoy's advice, for routers", "SIDECAR"),
        "listenerPerConnectionBufferLimitBytes": becomes(
            "Listener.per_connection_buffer_limit_bytes", words="of routers", default="Envoy's: 1 MiB"
        ),
        "httpIdleTimeout": becomes("HttpProtocolOptions.idle_timeout", default="Envoy's: 1 h"),
        "httpMaxConnectionDuration": becomes("HttpProtocolOptions.max_connection_duration", default="no limit"),
        "httpDrainTimeout": becomes("HttpConnectionManager.drain_timeout", default="Envoy's: 5 s"),
        "httpRequestTimeout": becomes("HttpConnectionManager.request_timeout", default="no limit"),
        "httpRequestHeadersTimeout": becomes("HttpConnectionManager.request_headers_timeout", default="no limit"),
        "httpStreamIdleTimeout": becomes("HttpConnectionManager.stream_idle_timeout", default="no limit"),
        "httpMaxStreamDuration": becomes("HttpProtocolOptions.max_stream_duration", default="no limit"),
        "httpMaxConcurrentStreams": becomes("Http2ProtocolOptions.max_concurrent_streams", default="Envoy's"),
        "http2InitialStreamWindowSize": becomes("Http2ProtocolOptions.initial_stream_window_size", default="Envoy's"),
        "http2InitialConnectionWindowSize": becomes(
            "Http2ProtocolOptions.initial_connection_window_size", default="Envoy's"
        ),
        "httpHeadersWithUnderscoresAction": becomes(
            "HttpProtocolOptions.headers_with_underscores_action", default="they are allowed"
        ),
        "httpMergeSlashes": becomes("HttpConnectionManager.merge_slashes", default="pathNormalization"),
        "httpPathWithEscapedSlashesAction": becomes(
            "HttpConnectionManager.path_with_escaped_slashes_action", default="pathNormalization"
        ),
        **_without_effect(p.UNLIMITED_CONNECTIONS),
    },
    p.ProxyTracing: {
        "customTags": becomes("HttpConnectionManager.Tracing.custom_tags"),
        "maxPathTagLength": _TAG_LENGTH,
        "sampling": becomes("HttpConnectionManager.Tracing.random_sampling", default="1"),
        "enableIstioTags": becomes("HttpConnectionManager.Tracing.custom_tags", default="true"),
        **_without_effect(p.OF_ANOTHER_TRACER),
    },
}
