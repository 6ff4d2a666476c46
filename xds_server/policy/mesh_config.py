"""MeshConfig: defaults of the whole mesh (istio.mesh.v1alpha1 MeshConfig).

Istio writes it as a bare mapping without kind; here it may also be a document like the others. What Istio nests deeply
and nothing here obeys is taken as any value, so that a file that works there is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, JsonValue

from xds_server.policy.destination_rule import (
    ConnectionPoolSettings,
    LocalityLoadBalancerSetting,
    OutlierDetection,
    TcpKeepalive,
    ZoneAwareLoadBalancerSetting,
)
from xds_server.policy.extension_provider import DefaultProviders, ExtensionProviders
from xds_server.policy.model import PolicyEnum, PolicyModel, istio_name
from xds_server.policy.proxy_config import ProxyConfig
from xds_server.policy.sidecar import OutboundTrafficPolicyMode
from xds_server.policy.values import (
    Bool,
    DnsLabel,
    Duration,
    DurationOrZero,
    ExportTo,
    PortNumber,
    ServiceExportTo,
    TrustDomainName,
)
from xds_server.policy.virtual_service import HTTPRetry

GROUP = "mesh.istio.io"
NAME = "mesh"
"""What a MeshConfig without metadata is called."""
Anything = dict[str, JsonValue]


class MeshH2UpgradePolicy(PolicyEnum):
    """Whether HTTP/1.1 is upgraded to HTTP/2 between proxies."""

    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class AccessLogEncoding(PolicyEnum):
    """Form of access log lines."""

    TEXT = "TEXT"
    JSON = "JSON"


class Normalization(PolicyEnum):
    """What is done to paths before routes and policies see them."""

    DEFAULT = "DEFAULT"
    NONE = "NONE"
    BASE = "BASE"
    MERGE_SLASHES = "MERGE_SLASHES"
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"


class PathNormalization(PolicyModel):
    """One setting, in a mapping of its own as Istio has it."""

    normalization: Normalization = Normalization.DEFAULT


class InboundTrafficPolicyMode(PolicyEnum):
    """Where a sidecar sends what came in."""

    PASSTHROUGH = "PASSTHROUGH"
    LOCALHOST = "LOCALHOST"


class InboundTrafficPolicy(PolicyModel):
    """Where a sidecar sends what came in."""

    mode: InboundTrafficPolicyMode = InboundTrafficPolicyMode.PASSTHROUGH


class MeshOutboundTrafficPolicy(PolicyModel):
    """Traffic for unknown destinations. A block without `mode` is REGISTRY_ONLY, as in proto."""

    mode: OutboundTrafficPolicyMode = OutboundTrafficPolicyMode.REGISTRY_ONLY
    tls: Anything | None = None


class TLSProtocol(PolicyEnum):
    """The least TLS version; TLS_AUTO is 1.2."""

    TLS_AUTO = "TLS_AUTO"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class TLSConfig(PolicyModel):
    """Limits of TLS, wherever nothing nearer sets them."""

    min_protocol_version: TLSProtocol = TLSProtocol.TLS_AUTO
    ecdh_curves: tuple[str, ...] = ()
    cipher_suites: tuple[str, ...] = ()


class DefaultTrafficPolicy(PolicyModel):
    """The sections that a DestinationRule may leave to the mesh."""

    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None


class MeshConfigSpec(PolicyModel):
    """Every field of Istio's; None is Istio's default."""

    proxy_listen_port: PortNumber | None = None
    proxy_inbound_listen_port: PortNumber | None = None
    proxy_http_port: PortNumber | None = None
    connect_timeout: Duration | None = None
    protocol_detection_timeout: DurationOrZero | None = None
    hbone_idle_timeout: DurationOrZero | None = None
    trust_domain: TrustDomainName | None = None
    trust_domain_aliases: tuple[TrustDomainName, ...] = ()
    root_namespace: DnsLabel | None = None
    enable_auto_mtls: Bool | None = None
    outbound_traffic_policy: MeshOutboundTrafficPolicy | None = None
    inbound_traffic_policy: InboundTrafficPolicy | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    default_service_export_to: ServiceExportTo = ()
    default_virtual_service_export_to: ExportTo = ()
    default_destination_rule_export_to: ExportTo = ()
    dns_refresh_rate: Duration | None = None
    h2_upgrade_policy: MeshH2UpgradePolicy | None = None
    tcp_keepalive: TcpKeepalive | None = None
    default_http_retry_policy: HTTPRetry | None = None
    default_inbound_http_retry_policy: HTTPRetry | None = None
    default_traffic_policy: DefaultTrafficPolicy | None = None
    path_normalization: PathNormalization | None = None
    inbound_cluster_stat_name: str | None = None
    outbound_cluster_stat_name: str | None = None
    access_log_file: str | None = None
    access_log_format: str | None = None
    access_log_encoding: AccessLogEncoding | None = None
    enable_envoy_access_log_service: Bool | None = None
    disable_envoy_listener_log: Bool | None = None
    enable_tracing: Bool | None = None
    enable_prometheus_merge: Bool | None = None
    default_providers: DefaultProviders = DefaultProviders()
    extension_providers: ExtensionProviders = ()
    default_config: ProxyConfig | None = None
    mesh_mtls: TLSConfig | None = Field(default=None, alias="meshMTLS")
    tls_defaults: TLSConfig | None = None
    ca: Anything | None = None
    ca_certificates: tuple[Anything, ...] = ()
    config_sources: tuple[Anything, ...] = ()
    discovery_selectors: tuple[Anything, ...] = ()
    service_entry_visibility: Anything | None = None
    service_settings: tuple[Anything, ...] = ()
    service_scope_configs: tuple[Anything, ...] = ()
    ingress_class: str | None = None
    ingress_service: str | None = None
    ingress_controller_mode: str | int | None = None
    ingress_selector: str | None = None
    certificates: tuple[Anything, ...] = ()
    verify_certificate_at_client: Bool | None = None


def is_mesh_config(value: Mapping[str, object]) -> bool:
    """Whether a value without kind has a field by which it is known for a MeshConfig."""
    return not {istio_name(name) for name in MeshConfigSpec.model_fields}.isdisjoint(value)


def as_document(file: str, value: Any) -> Any:
    """A MeshConfig in the form of other documents; every other value as it is.

    Istio's bare form is one in a file called mesh.yaml; one with a kind may leave out apiVersion, metadata and spec.
    """
    if not isinstance(value, dict):
        return value
    bare = "kind" not in value and "apiVersion" not in value and file.rpartition("/")[2] in {"mesh.yaml", "mesh.yml"}
    if not bare and value.get("kind") != "MeshConfig":
        return value
    spec = value if bare else value.get("spec", {k: v for k, v in value.items() if k not in _AROUND})
    around = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "MeshConfig", "metadata": {"name": NAME}}
    given = {} if bare else {key: value[key] for key in _AROUND if key in value}
    return {**around, **given, "spec": spec}


_AROUND = ("apiVersion", "kind", "metadata", "spec", "status")
