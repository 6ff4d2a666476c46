"""A complete Envoy bootstrap for one node: who it is, where its control plane is, how its traffic is captured.

Pure: the command line prints what it returns. It is the one place where Envoy configuration is written as plain
values: a bootstrap is a file that people read and edit, and Envoy itself checks it (`envoy --mode validate`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from xds_server.errors import ConfigurationError
from xds_server.ip_address import is_ip_address
from xds_server.mesh.service import Locality
from xds_server.mesh.workload import REPLICA, Interception, NodeType
from xds_server.settings import Address
from xds_server.signals.stat import PATTERNS
from xds_server.translate.names import LOCAL_CLUSTER

XDS_CLUSTER = "xds-grpc"
"""The cluster of the control plane, named as in Istio's own bootstrap."""


class Api(enum.StrEnum):
    """Which variant of the xDS protocol the node speaks."""

    DELTA = "delta"
    SOTW = "sotw"


@dataclass(frozen=True, slots=True)
class SecureXds:
    """How a node proves itself to the control plane, and knows it.

    Attributes:
        directory: where Envoy finds `CA_FILE` and `SECRETS_FILE`; it watches it, and takes up what is renamed into it.
        control_plane: the URI that the control plane's certificate must name.
        server_name: what to ask for in the handshake (SNI).
        token: prove it by a token in each stream's headers, instead of by a client certificate.
    """

    directory: str
    control_plane: str
    server_name: str
    token: bool = False


CA_FILE, SECRETS_FILE = "ca.pem", "sds.yaml"
XDS_SECRET = "xds"  # noqa: S105 - the name of a secret
"""Name of the one secret in `SECRETS_FILE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Who a node is and what it is to do.

    Attributes:
        node_id: used as it is; "" makes Istio's form, TYPE~IP~NAME.NAMESPACE~NAMESPACE.svc.cluster.local.
        ip: address of the workload, by which endpoints of services are recognised as its own; "" when not known.
        http_proxy_port: where the sidecar listens as a forward proxy (NONE mode); 0 for nowhere.
        bind_address: where outbound listeners bind in NONE mode; "" is 127.0.0.1.
        group: the WorkloadGroup under which the workload registers itself; "" for none.
        ports: by service port name, where the workload listens, if not where its group says.
        dns_capture: answer DNS queries for names of services.
        self_discovery: know where the endpoints of the workload's own service are, for zone aware load balancing.
        metrics_interval: seconds between two reports of what was counted, to the control plane; 0 reports nothing, and
            keeps every statistic that Envoy has.
        xds: addresses of the control plane's replicas; Envoy moves to the next when one fails.
        admin_port: on loopback; 0 lets the system choose.
        secure: TLS towards the control plane; None is plaintext.
    """

    name: str
    namespace: str = "default"
    node_id: str = ""
    ip: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    service_account: str = ""
    locality: Locality = Locality()
    interception: Interception = Interception.REDIRECT
    http_proxy_port: int = 0
    bind_address: str = ""
    group: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    dns_capture: bool = False
    self_discovery: bool = False
    metrics_interval: float = 5.0
    xds: tuple[Address, ...] = (Address("127.0.0.1", 15010),)
    admin_port: int = 15000
    api: Api = Api.DELTA
    secure: SecureXds | None = None
    node_type: NodeType = NodeType.SIDECAR

    def __post_init__(self) -> None:
        """Refuse what would be read as something else.

        Raises:
            ConfigurationError: says which option, and why.
        """
        for option, value in (("--name", self.name), ("--namespace", self.namespace)):
            if not value or any(character in value for character in f"~/{REPLICA} \t\n"):
                raise ConfigurationError(f"{option} {value!r} must be a word without ~, /, {REPLICA} and blanks")
        if "." in self.namespace:
            raise ConfigurationError(f"--namespace {self.namespace!r} must have no dot: it ends the name in a node id")
        if self.ip and not is_ip_address(self.ip):
            raise ConfigurationError(f"--ip {self.ip!r} is no IP address")
        if not 0 <= self.metrics_interval < 300:
            raise ConfigurationError(f"--metrics-interval {self.metrics_interval:g} must be below 300 seconds")
        if self.http_proxy_port and self.interception is not Interception.NONE:
            raise ConfigurationError(
                "--http-proxy-port needs --mode none: with redirect all traffic is captured anyway"
            )


def bootstrap(options: NodeOptions) -> dict[str, object]:
    """The bootstrap as plain values, ready for YAML or JSON, in Envoy's snake_case field names."""
    return {
        "node": _node(options),
        "admin": {"address": _socket_address(Address("127.0.0.1", options.admin_port))},
        "dynamic_resources": _dynamic_resources(options.api),
        "static_resources": {"clusters": _clusters(options)},
        **({"cluster_manager": {"local_cluster_name": LOCAL_CLUSTER}} if options.self_discovery else {}),
        # Envoy refuses bigger regular expressions than 100 by default; Istio's bootstrap sets this limit too.
        "layered_runtime": {
            "layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 32768}}],
        },
        **(_metrics(options.metrics_interval) if options.metrics_interval else {}),
    }


def _node(options: NodeOptions) -> dict[str, object]:
    app = options.labels.get("app", options.name)
    node: dict[str, object] = {
        "id": options.node_id or _istio_id(options),
        "cluster": f"{app}.{options.namespace}",
        "metadata": _metadata(options),
    }
    locality = options.locality
    if locality != Locality():
        parts = {"region": locality.region, "zone": locality.zone, "sub_zone": locality.sub_zone}
        node["locality"] = {key: part for key, part in parts.items() if part}
    return node


def _istio_id(options: NodeOptions) -> str:
    ip = options.ip or "127.0.0.1"
    return f"{options.node_type}~{ip}~{options.name}.{options.namespace}~{options.namespace}.svc.cluster.local"


def _metadata(options: NodeOptions) -> dict[str, object]:
    """What `mesh.workload` and `mesh.registration` read, in Istio's words; Istio writes HTTP_PROXY_PORT as a string."""
    given: dict[str, object] = {
        "NAME": options.name,
        "NAMESPACE": options.namespace,
        "LABELS": dict(sorted(options.labels.items())),
        "INSTANCE_IPS": options.ip,
        "SERVICE_ACCOUNT": options.service_account,
        "INTERCEPTION_MODE": "" if options.node_type is NodeType.ROUTER else str(options.interception),
        "HTTP_PROXY_PORT": str(options.http_proxy_port) if options.http_proxy_port else "",
        "OUTBOUND_BIND_ADDRESS": options.bind_address,
        "AUTO_REGISTER_GROUP": options.group,
        "WORKLOAD_PORTS": dict(sorted(options.ports.items())),
        "DNS_CAPTURE": "true" if options.dns_capture else "",
        "ENABLE_SELF_DISCOVERY": "true" if options.self_discovery else "",
    }
    return {key: value for key, value in given.items() if value}


def _dynamic_resources(api: Api) -> dict[str, object]:
    over_ads = {
        "ads": {},
        "resource_api_version": "V3",
        # The default of 15 s lets a starting Envoy go live with nothing when the control plane is late.
        "initial_fetch_timeout": "0s",
    }
    return {
        "ads_config": {
            "api_type": "DELTA_GRPC" if api is Api.DELTA else "GRPC",
            "transport_api_version": "V3",
            # Without it Envoy repeats its 61 KB of node in every acknowledgement.
            "set_node_on_first_message_only": True,
            "rate_limit_settings": {"max_tokens": 100, "fill_rate": 10},
            "grpc_services": [
                {
                    "envoy_grpc": {
                        "cluster_name": XDS_CLUSTER,
                        "retry_policy": {"retry_back_off": {"base_interval": "0.5s", "max_interval": "10s"}},
                    }
                }
            ],
        },
        "cds_config": over_ads,
        "lds_config": dict(over_ads),
    }


def _clusters(options: NodeOptions) -> list[dict[str, object]]:
    own: dict[str, object] = {
        "name": LOCAL_CLUSTER,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
    }
    return [_xds_cluster(options.xds, options.secure), *([own] if options.self_discovery else [])]


def _metrics(interval: float) -> dict[str, object]:
    """What the proxy counts goes to the control plane; what nobody there reads is not counted.

    Each of 60 clusters would have 130 statistics, and a report 12 times the size (`bench/metrics.py`).
    """
    sink = {
        "@type": "type.googleapis.com/envoy.config.metrics.v3.MetricsServiceConfig",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": XDS_CLUSTER}},
        # A total then outlives whoever counted it, and a proxy that starts anew takes nothing away from it.
        "report_counters_as_deltas": True,
        "histogram_emit_mode": "HISTOGRAM",
        # So that the control plane is never busy with one message for long.
        "batch_size": 500,
    }
    patterns = [{"safe_regex": {"regex": pattern}} for pattern in PATTERNS]
    return {
        "stats_sinks": [{"name": "envoy.stat_sinks.metrics_service", "typed_config": sink}],
        "stats_flush_interval": f"{interval:g}s",
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": patterns}}},
    }


def _xds_cluster(addresses: tuple[Address, ...], secure: SecureXds | None) -> dict[str, object]:
    protocol: dict[str, object] = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        # A connection shows the certificate that it began with. One whose streams were refused is left for another, so
        # that whoever is enrolled again comes in with what is new, and not when the connection is of age.
        "common_http_protocol_options": {"idle_timeout": "0.25s"},
        "explicit_http_config": {
            # Without it a control plane that froze is never noticed.
            "http2_protocol_options": {"connection_keepalive": {"interval": "15s", "timeout": "5s"}}
        },
    }
    if secure is not None and secure.token:
        protocol["http_filters"] = _token_filters(secure)
    return {
        "name": XDS_CLUSTER,
        "type": "STATIC" if all(is_ip_address(address.host) for address in addresses) else "STRICT_DNS",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket_address(a)}} for a in addresses]}],
        },
        **({"transport_socket": _transport_socket(secure)} if secure is not None else {}),
    }


def _transport_socket(secure: SecureXds) -> dict[str, object]:
    name = {"san_type": "URI", "matcher": {"exact": secure.control_plane}}
    tls: dict[str, object] = {
        # A client's greatest version is 1.2 by default; the least alone would leave none.
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "validation_context": {
            "trusted_ca": {"filename": f"{secure.directory}/{CA_FILE}"},
            "match_typed_subject_alt_names": [name],
        },
    }
    if not secure.token:
        tls["tls_certificate_sds_secret_configs"] = [_secret_in_file(secure)]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": secure.server_name,
            "common_tls_context": tls,
        },
    }


def _token_filters(secure: SecureXds) -> list[dict[str, object]]:
    """What puts the token into each stream's headers; the header is the whole secret, "Bearer" included."""
    generic = "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic"
    injector = "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector"
    codec = "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"
    credential = {"@type": generic, "header": "authorization", "credential": _secret_in_file(secure)}
    return [
        {
            "name": "envoy.filters.http.credential_injector",
            "typed_config": {
                "@type": injector,
                "overwrite": True,
                "credential": {"name": "envoy.http.injected_credentials.generic", "typed_config": credential},
            },
        },
        {"name": "envoy.filters.http.upstream_codec", "typed_config": {"@type": codec}},
    ]


def _secret_in_file(secure: SecureXds) -> dict[str, object]:
    source = {
        "path": f"{secure.directory}/{SECRETS_FILE}",
        # Without it Envoy watches the file that was there at first, and misses what is renamed over it in a mount.
        "watched_directory": {"path": secure.directory},
    }
    return {"name": XDS_SECRET, "sds_config": {"resource_api_version": "V3", "path_config_source": source}}


def _socket_address(address: Address) -> dict[str, object]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}
