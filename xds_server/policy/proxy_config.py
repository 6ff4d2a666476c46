"""MeshConfig.defaultConfig: Istio's ProxyConfig, most of which its agent obeys when it starts an Envoy.

There is no agent here: what only it obeys is taken as any value, and the author is told what says it here.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, StrictInt

from xds_server.policy.model import PolicyEnum, PolicyModel
from xds_server.policy.trace_tag import CustomTag
from xds_server.policy.values import Bool, Double, DurationOrZero, Int


class ProxyTracing(PolicyModel):
    """Defaults of traces; who takes them is an extension provider's to say."""

    zipkin: JsonValue = None
    lightstep: JsonValue = None
    datadog: JsonValue = None
    stackdriver: JsonValue = None
    open_census_agent: JsonValue = None
    custom_tags: dict[str, CustomTag] = Field(default_factory=dict)
    max_path_tag_length: Int = 0
    sampling: Double = 0.0
    tls_settings: JsonValue = None
    enable_istio_tags: Bool | None = None


class ForwardClientCertDetails(PolicyEnum):
    """What becomes of X-Forwarded-Client-Cert."""

    UNDEFINED = "UNDEFINED"
    SANITIZE = "SANITIZE"
    FORWARD_ONLY = "FORWARD_ONLY"
    APPEND_FORWARD = "APPEND_FORWARD"
    SANITIZE_SET = "SANITIZE_SET"
    ALWAYS_FORWARD_ONLY = "ALWAYS_FORWARD_ONLY"


class ProxyProtocolConfiguration(PolicyModel):
    """That it is there says all."""


class GatewayTopology(PolicyModel):
    """What stands in front of routers."""

    num_trusted_proxies: Int = 0
    forward_client_cert_details: ForwardClientCertDetails = ForwardClientCertDetails.UNDEFINED
    proxy_protocol: ProxyProtocolConfiguration | None = None


class ServerHeader(PolicyModel):
    """The Server header of answers."""

    disabled: Bool | None = None
    value: str = ""


class HeaderWithout(PolicyModel):
    """A header that is there unless it is disabled."""

    disabled: Bool | None = None


class HeaderWith(PolicyModel):
    """A header that is there if it is enabled."""

    enabled: Bool | None = None


class SetCurrentClientCertDetails(PolicyModel):
    """What of a caller's certificate the application is told."""

    subject: Bool | None = None
    cert: Bool | None = None
    chain: Bool | None = None
    dns: Bool | None = None
    uri: Bool | None = None


class ProxyHeaders(PolicyModel):
    """Headers that proxies add, change or take off."""

    forwarded_client_cert: ForwardClientCertDetails = ForwardClientCertDetails.UNDEFINED
    set_current_client_cert_details: SetCurrentClientCertDetails | None = None
    request_id: HeaderWithout | None = None
    server: ServerHeader | None = None
    attempt_count: HeaderWithout | None = None
    envoy_debug_headers: HeaderWithout | None = None
    metadata_exchange_headers: JsonValue = None
    preserve_http1_header_case: Bool | None = None
    x_forwarded_host: HeaderWith | None = None
    x_forwarded_port: HeaderWith | None = None


class Profile(PolicyEnum):
    """What connection settings are where nothing is written: Istio's, or for routers Envoy's advice for edges."""

    SIDECAR = "SIDECAR"
    EDGE = "EDGE"


class HeadersWithUnderscoresAction(PolicyEnum):
    """What becomes of headers with underscores in their names."""

    HEADERS_WITH_UNDERSCORES_UNSPECIFIED = "HEADERS_WITH_UNDERSCORES_UNSPECIFIED"
    HEADERS_WITH_UNDERSCORES_ALLOW = "HEADERS_WITH_UNDERSCORES_ALLOW"
    HEADERS_WITH_UNDERSCORES_REJECT_REQUEST = "HEADERS_WITH_UNDERSCORES_REJECT_REQUEST"
    HEADERS_WITH_UNDERSCORES_DROP_HEADER = "HEADERS_WITH_UNDERSCORES_DROP_HEADER"


class PathWithEscapedSlashesAction(PolicyEnum):
    """What becomes of `%2F` in paths."""

    PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED = "PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED"
    KEEP_UNCHANGED = "KEEP_UNCHANGED"
    REJECT_REQUEST = "REJECT_REQUEST"
    UNESCAPE_AND_REDIRECT = "UNESCAPE_AND_REDIRECT"
    UNESCAPE_AND_FORWARD = "UNESCAPE_AND_FORWARD"


WindowSize = Annotated[StrictInt, Field(ge=65535, le=2**31 - 1)]
Streams = Annotated[StrictInt, Field(ge=1, le=2**31 - 1)]


class ConnectionSettings(PolicyModel):
    """Limits of connections from callers."""

    profile: Profile = Profile.SIDECAR
    listener_per_connection_buffer_limit_bytes: Int | None = None
    cluster_per_connection_buffer_limit_bytes: JsonValue = None
    http_idle_timeout: DurationOrZero | None = None
    http_max_connection_duration: DurationOrZero | None = None
    http_drain_timeout: DurationOrZero | None = None
    http_request_timeout: DurationOrZero | None = None
    http_request_headers_timeout: DurationOrZero | None = None
    http_stream_idle_timeout: DurationOrZero | None = None
    http_max_stream_duration: DurationOrZero | None = None
    http_max_concurrent_streams: Streams | None = None
    http2_initial_stream_window_size: WindowSize | None = None
    http2_initial_connection_window_size: WindowSize | None = None
    http_headers_with_underscores_action: HeadersWithUnderscoresAction = (
        HeadersWithUnderscoresAction.HEADERS_WITH_UNDERSCORES_UNSPECIFIED
    )
    http_merge_slashes: Bool | None = None
    http_path_with_escaped_slashes_action: PathWithEscapedSlashesAction = (
        PathWithEscapedSlashesAction.PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED
    )
    listener_connection_limit: JsonValue = None
    global_downstream_connection_limit: JsonValue = None


class ProxyConfig(PolicyModel):
    """Every field of Istio's."""

    tracing: ProxyTracing | None = None
    config_path: JsonValue = None
    binary_path: JsonValue = None
    service_cluster: JsonValue = None
    tracing_service_name: JsonValue = None
    drain_duration: JsonValue = None
    discovery_address: JsonValue = None
    discovery_refresh_delay: JsonValue = None
    zipkin_address: JsonValue = None
    statsd_udp_address: JsonValue = None
    envoy_metrics_service_address: JsonValue = None
    proxy_admin_port: JsonValue = None
    availability_zone: JsonValue = None
    control_plane_auth_policy: JsonValue = None
    custom_config_file: JsonValue = None
    stat_name_length: JsonValue = None
    concurrency: JsonValue = None
    proxy_bootstrap_template_path: JsonValue = None
    interception_mode: JsonValue = None
    sds: JsonValue = None
    envoy_access_log_service: JsonValue = None
    envoy_metrics_service: JsonValue = None
    proxy_metadata: JsonValue = None
    runtime_values: JsonValue = None
    status_port: JsonValue = None
    extra_stat_tags: JsonValue = None
    gateway_topology: GatewayTopology | None = None
    termination_drain_duration: JsonValue = None
    mesh_id: JsonValue = None
    readiness_probe: JsonValue = None
    proxy_stats_matcher: JsonValue = None
    hold_application_until_proxy_starts: JsonValue = None
    ca_certificates_pem: JsonValue = None
    image: JsonValue = None
    private_key_provider: JsonValue = None
    proxy_headers: ProxyHeaders | None = None
    file_flush_interval: JsonValue = None
    file_flush_min_size_kb: JsonValue = None
    stats_compression: JsonValue = None
    connection_settings: ConnectionSettings | None = None


_NO_AGENT = "there is no agent to obey it"
_BOOTSTRAP = "it is for the bootstrap, and an Envoy keeps the one that it is given"
_METRICS = "an Envoy sends its metrics to this server: `xds-server bootstrap --metrics-interval`"
_SERVICE_CLUSTER = "`xds-server bootstrap` names an Envoy by its --label app and --namespace"
_PROVIDER = "extensionProviders say who takes spans"

WITHOUT_LOG_SERVICE = "the service's address is in Istio's bootstrap: name a provider envoyHttpAls or envoyTcpAls"
"""Why an access log service without a provider has no effect."""

UNLIMITED_CONNECTIONS = {
    "clusterPerConnectionBufferLimitBytes": "Istio does not implement it",
    "listenerConnectionLimit": "Istio does not implement it",
    "globalDownstreamConnectionLimit": _BOOTSTRAP,
}
"""Fields of connectionSettings that have no effect, and why."""

WITHOUT_EXCHANGE = "only Istio's own Envoy tells its peer of itself"
"""Why headers of metadata exchange have no effect."""

OF_THE_AGENT = {
    "configPath": "`xds-server bootstrap` prints what an Envoy starts with",
    "binaryPath": "whoever starts an Envoy says which",
    "serviceCluster": _SERVICE_CLUSTER,
    "tracingServiceName": _SERVICE_CLUSTER,
    "drainDuration": "it is an option of Envoy's: --drain-time-s",
    "discoveryAddress": "`xds-server bootstrap --xds-address` says it",
    "discoveryRefreshDelay": "changes are pushed, and nothing is polled",
    "zipkinAddress": _PROVIDER,
    "statsdUdpAddress": _METRICS,
    "envoyMetricsServiceAddress": _METRICS,
    "proxyAdminPort": "`xds-server bootstrap --admin-port` says it",
    "availabilityZone": "`xds-server bootstrap --locality` says it",
    "controlPlaneAuthPolicy": "`xds-server enroll` makes what an Envoy proves itself with",
    "customConfigFile": _BOOTSTRAP,
    "statNameLength": "Envoy has no such limit any more",
    "concurrency": "it is an option of Envoy's: --concurrency",
    "proxyBootstrapTemplatePath": _BOOTSTRAP,
    "interceptionMode": "`xds-server bootstrap --mode` says it",
    "sds": "certificates come from this server or from files",
    "envoyAccessLogService": WITHOUT_LOG_SERVICE,
    "envoyMetricsService": _METRICS,
    "proxyMetadata": _NO_AGENT,
    "runtimeValues": _BOOTSTRAP,
    "statusPort": "there is no agent to answer there: ask /ready of the admin page",
    "extraStatTags": _BOOTSTRAP,
    "terminationDrainDuration": "there is no agent to wait before an Envoy ends",
    "meshId": "there is one mesh",
    "readinessProbe": "there is no agent to probe: a WorkloadGroup's probe does",
    "proxyStatsMatcher": _BOOTSTRAP,
    "holdApplicationUntilProxyStarts": "nothing here starts applications",
    "caCertificatesPem": "whom the mesh believes never comes from a policy file",
    "image": "nothing here starts containers",
    "privateKeyProvider": "Envoy has none without its contrib extensions",
    "fileFlushInterval": "it is an option of Envoy's: --file-flush-interval-msec",
    "fileFlushMinSizeKb": "it is an option of Envoy's: --file-flush-min-size-kb",
    "statsCompression": "there is no agent to serve statistics",
}
"""Fields that only Istio's agent or its bootstrap obeys, and why they have no effect here."""

OF_ANOTHER_TRACER = dict.fromkeys(
    ("zipkin", "lightstep", "datadog", "stackdriver", "openCensusAgent", "tlsSettings"), _PROVIDER
)
"""Fields of `tracing` that Istio writes into its bootstrap, and why they have no effect here."""
