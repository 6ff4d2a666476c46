"""MeshConfig.defaultConfig: Istio's ProxyConfig, most of which its agent obeys when it starts an Envoy.

There is no agent here, so all of it but `tracing` is taken as any value, and `policy.not_applied` tells of it.
"""

from __future__ import annotations

from pydantic import Field, JsonValue

from xds_server.policy.model import PolicyModel
from xds_server.policy.trace_tag import CustomTag
from xds_server.policy.values import Bool, Double, Int


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
    gateway_topology: JsonValue = None
    termination_drain_duration: JsonValue = None
    mesh_id: JsonValue = None
    readiness_probe: JsonValue = None
    proxy_stats_matcher: JsonValue = None
    hold_application_until_proxy_starts: JsonValue = None
    ca_certificates_pem: JsonValue = None
    image: JsonValue = None
    private_key_provider: JsonValue = None
    proxy_headers: JsonValue = None
    file_flush_interval: JsonValue = None
    file_flush_min_size_kb: JsonValue = None
    stats_compression: JsonValue = None
    connection_settings: JsonValue = None
