"""What a MeshConfig means: the defaults of the whole mesh, Istio's where it says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.premises import Environment
from xds_server.compiler.retry import inbound_retry, mesh_retry
from xds_server.compiler.telemetry import NO_MESH_CONFIG, telemetry_defaults
from xds_server.compiler.traffic_policy import ISTIO_TRAFFIC, TrafficDefaults, traffic_defaults
from xds_server.mesh.proxy_settings import (
    EDGE_LIMITS,
    ISTIO_HEADERS,
    ISTIO_SETTINGS,
    NO_LIMITS,
    ConnectionLimits,
    EscapedSlashes,
    ForwardedCert,
    PathNormalization,
    ProxyHeaders,
    ProxySettings,
    TlsLimits,
    ToldOfCaller,
    Topology,
    Underscores,
)
from xds_server.mesh.route import Retry
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.mesh.telemetry import TelemetryDefaults
from xds_server.policy.document import Document
from xds_server.policy.mesh_config import (
    InboundTrafficPolicyMode,
    MeshConfigSpec,
    Normalization,
    TLSConfig,
    TLSProtocol,
)
from xds_server.policy.model import PolicyModel, istio_name
from xds_server.policy.proxy_config import (
    ForwardClientCertDetails,
    HeadersWithUnderscoresAction,
    HeaderWith,
    HeaderWithout,
    PathWithEscapedSlashesAction,
    Profile,
    ProxyConfig,
    ServerHeader,
    SetCurrentClientCertDetails,
)
from xds_server.problem import Problem

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class MeshDefaults:
    """The defaults in force.

    Attributes:
        root_namespace: "" is the server's own setting.
        http_proxy_port: where sidecars without capture are an HTTP proxy; 0 for those alone that ask for it.
        retry: for rules that say nothing of retries; None is never.
        trust_domain_aliases: see `Mesh`.
        exports: (kind, namespaces) for documents without exportTo.
        settings: for every proxy alike.
    """

    root_namespace: str = ""
    outbound_policy: OutboundPolicy = OutboundPolicy.ALLOW_ANY
    http_proxy_port: int = 0
    retry: Retry | None = Retry()
    traffic: TrafficDefaults = ISTIO_TRAFFIC
    trust_domain_aliases: tuple[str, ...] = ()
    exports: tuple[tuple[str, tuple[str, ...]], ...] = ()
    settings: ProxySettings = ISTIO_SETTINGS
    telemetry: TelemetryDefaults = NO_MESH_CONFIG


ISTIO = MeshDefaults()
"""What holds in a mesh without a MeshConfig."""


def mesh_defaults(
    documents: tuple[Document, ...], trust_domain: str, environment: Environment
) -> Outcome[MeshDefaults]:
    """The defaults that the first of these MeshConfigs sets; every other one is reported.

    `trust_domain` and `environment` are the server's: no policy file changes in whose name identities are made.
    """
    if not documents:
        return Outcome(ISTIO)
    first, *others = documents
    spec = cast("MeshConfigSpec", first.spec)
    duplicates = (
        Place(each, ()).error(
            "duplicate-mesh-config", f"the mesh has its defaults from {first.origin} already", "join them"
        )
        for each in others
    )
    telemetry = telemetry_defaults(first, environment)
    problems = (
        *_another_trust_domain(first, spec.trust_domain, trust_domain),
        *duplicates,
        *_traps(spec, Place(first)),
        *telemetry.problems,
    )
    return Outcome(_defaults(spec, telemetry.value), problems)


def _another_trust_domain(document: Document, written: str | None, ours: str) -> Iterator[Problem]:
    if written not in {None, ours}:
        message = f"identities are made in {ours}, the trust domain of this server, and not in {written}"
        fix = f"remove it, or give every command of xds-server --trust-domain {written}"
        yield Place(document).at("trustDomain").error("other-trust-domain", message, fix)


def _defaults(spec: MeshConfigSpec, telemetry: TelemetryDefaults) -> MeshDefaults:
    outbound = spec.outbound_traffic_policy
    exports = {
        "ServiceEntry": spec.default_service_export_to,
        "VirtualService": spec.default_virtual_service_export_to,
        "DestinationRule": spec.default_destination_rule_export_to,
    }
    return MeshDefaults(
        root_namespace=spec.root_namespace or "",
        outbound_policy=OutboundPolicy(outbound.mode) if outbound else OutboundPolicy.ALLOW_ANY,
        http_proxy_port=spec.proxy_http_port or 0,
        retry=mesh_retry(spec.default_http_retry_policy) if spec.default_http_retry_policy else Retry(),
        traffic=traffic_defaults(spec),
        trust_domain_aliases=spec.trust_domain_aliases,
        exports=tuple((kind, names) for kind, names in exports.items() if names),
        settings=_settings(spec),
        telemetry=telemetry,
    )


def _settings(spec: MeshConfigSpec) -> ProxySettings:
    inbound, retries = spec.inbound_traffic_policy, spec.default_inbound_http_retry_policy
    istio = ISTIO_SETTINGS
    return ProxySettings(
        path_normalization=_normalization(spec),
        detection_timeout=spec.protocol_detection_timeout or istio.detection_timeout,
        outbound_port=spec.proxy_listen_port or istio.outbound_port,
        inbound_port=spec.proxy_inbound_listen_port or istio.inbound_port,
        to_loopback=inbound is not None and inbound.mode is InboundTrafficPolicyMode.LOCALHOST,
        inbound_retry=istio.inbound_retry if retries is None else inbound_retry(retries),
        inbound_stat_name=spec.inbound_cluster_stat_name or "",
        outbound_stat_name=spec.outbound_cluster_stat_name or "",
        dns_refresh=spec.dns_refresh_rate,
        mesh_tls=_limits(spec.mesh_mtls),
        other_tls=_limits(spec.tls_defaults),
        topology=_topology(spec.default_config),
        headers=_headers(spec.default_config),
        limits=_connections(spec.default_config, NO_LIMITS),
        router_limits=_connections(spec.default_config, EDGE_LIMITS),
    )


def _normalization(spec: MeshConfigSpec) -> PathNormalization:
    written = spec.path_normalization.normalization if spec.path_normalization else Normalization.DEFAULT
    return PathNormalization.BASE if written is Normalization.DEFAULT else PathNormalization(written)


def _topology(written: ProxyConfig | None) -> Topology:
    found = written.gateway_topology if written else None
    if found is None:
        return Topology()
    return Topology(
        found.num_trusted_proxies,
        _forwarded(found.forward_client_cert_details, Topology().forwarded_cert),
        proxy_protocol=found.proxy_protocol is not None,
    )


def _connections(config: ProxyConfig | None, edge: ConnectionLimits) -> ConnectionLimits:
    """What is written, and for the rest what the profile says; `edge` is what EDGE is to this kind of proxy."""
    found = config.connection_settings if config else None
    if found is None:
        return NO_LIMITS
    base = edge if found.profile is Profile.EDGE else NO_LIMITS
    return ConnectionLimits(
        buffer=_written(found.listener_per_connection_buffer_limit_bytes, base.buffer),
        idle=_written(found.http_idle_timeout, base.idle),
        max_connection=_written(found.http_max_connection_duration, base.max_connection),
        drain=_written(found.http_drain_timeout, base.drain),
        request=_written(found.http_request_timeout, base.request),
        request_headers=_written(found.http_request_headers_timeout, base.request_headers),
        stream_idle=_written(found.http_stream_idle_timeout, base.stream_idle),
        max_stream=_written(found.http_max_stream_duration, base.max_stream),
        streams=_written(found.http_max_concurrent_streams, base.streams),
        stream_window=_written(found.http2_initial_stream_window_size, base.stream_window),
        connection_window=_written(found.http2_initial_connection_window_size, base.connection_window),
        underscores=_written(_UNDERSCORES[found.http_headers_with_underscores_action], base.underscores),
        merge_slashes=_written(found.http_merge_slashes, base.merge_slashes),
        escaped_slashes=_written(_ESCAPED_SLASHES[found.http_path_with_escaped_slashes_action], base.escaped_slashes),
    )


def _written(value: Value | None, default: Value) -> Value:
    return default if value is None else value


_UNDERSCORES = {
    HeadersWithUnderscoresAction.HEADERS_WITH_UNDERSCORES_UNSPECIFIED: None,
    HeadersWithUnderscoresAction.HEADERS_WITH_UNDERSCORES_ALLOW: Underscores.ALLOW,
    HeadersWithUnderscoresAction.HEADERS_WITH_UNDERSCORES_REJECT_REQUEST: Underscores.REJECT_REQUEST,
    HeadersWithUnderscoresAction.HEADERS_WITH_UNDERSCORES_DROP_HEADER: Underscores.DROP_HEADER,
}
_ESCAPED_SLASHES = {
    PathWithEscapedSlashesAction.PATH_WITH_ESCAPED_SLASHES_UNSPECIFIED: None,
    PathWithEscapedSlashesAction.KEEP_UNCHANGED: EscapedSlashes.KEEP_UNCHANGED,
    PathWithEscapedSlashesAction.REJECT_REQUEST: EscapedSlashes.REJECT_REQUEST,
    PathWithEscapedSlashesAction.UNESCAPE_AND_REDIRECT: EscapedSlashes.UNESCAPE_AND_REDIRECT,
    PathWithEscapedSlashesAction.UNESCAPE_AND_FORWARD: EscapedSlashes.UNESCAPE_AND_FORWARD,
}


def _headers(written: ProxyConfig | None) -> ProxyHeaders:
    found = written.proxy_headers if written else None
    if found is None:
        return ISTIO_HEADERS
    return ProxyHeaders(
        server=_server(found.server),
        request_id=not _disabled(found.request_id),
        attempt_count=not _disabled(found.attempt_count),
        envoy_headers=not _disabled(found.envoy_debug_headers),
        forwarded_cert=_forwarded(found.forwarded_client_cert, ISTIO_HEADERS.forwarded_cert),
        told_of_caller=_told(found.set_current_client_cert_details or SetCurrentClientCertDetails()),
        original_host=_enabled(found.x_forwarded_host),
        port=_enabled(found.x_forwarded_port),
        keeps_case=bool(found.preserve_http1_header_case),
    )


def _server(written: ServerHeader | None) -> str | None:
    if written is None:
        return ISTIO_HEADERS.server
    return None if written.disabled else written.value


def _disabled(written: HeaderWithout | None) -> bool:
    return written is not None and bool(written.disabled)


def _enabled(written: HeaderWith | None) -> bool:
    return written is not None and bool(written.enabled)


def _told(written: SetCurrentClientCertDetails) -> ToldOfCaller:
    """What is left out is Istio's default, which differs."""
    return ToldOfCaller(
        subject=written.subject is not False,
        cert=bool(written.cert),
        chain=bool(written.chain),
        dns=written.dns is not False,
        uri=written.uri is not False,
    )


def _forwarded(written: ForwardClientCertDetails, default: ForwardedCert) -> ForwardedCert:
    return default if written is ForwardClientCertDetails.UNDEFINED else ForwardedCert(written)


def _limits(written: TLSConfig | None) -> TlsLimits:
    if written is None:
        return TlsLimits()
    version = "" if written.min_protocol_version is TLSProtocol.TLS_AUTO else str(written.min_protocol_version)
    return TlsLimits(version, written.cipher_suites, written.ecdh_curves)


_OF_CALLERS = ("per_try_timeout", "retry_remote_localities", "retry_ignore_previous_hosts")
"""What of retries means nothing towards the one application behind a proxy."""
_FORGED = (
    "whoever reaches the proxy can say in X-Forwarded-Client-Cert that it is somebody else",
    "write FORWARD_ONLY, which believes the header of callers with a certificate alone",
)


def _traps(spec: MeshConfigSpec, place: Place) -> Iterator[Problem]:
    """What an author may not expect of these settings."""
    if spec.protocol_detection_timeout:
        message = "a caller that says nothing for so long passes every HTTP filter, and mesh TLS is not looked for then"
        yield place.at("protocolDetectionTimeout").warning("unsafe-timeout", message, "leave it out, and declare ports")
    for path in _believing_everybody(spec.default_config or ProxyConfig()):
        yield place.at("defaultConfig", *path).warning("unsafe-forwarding", *_FORGED)
    if retries := spec.default_inbound_http_retry_policy:
        at = place.at("defaultInboundHttpRetryPolicy")
        for name in _OF_CALLERS:
            if getattr(retries, name) is not None:
                yield at.at(istio_name(name)).warning(
                    "no-effect", "has no effect: one application is behind", "remove it"
                )
        if retries.backoff and not retries.attempts:
            yield at.at("backoff").warning("no-effect", "has no effect, attempts is 0", "set attempts, or remove it")
    if spec.mesh_mtls and spec.mesh_mtls.ecdh_curves:
        message = "has no effect: Istio's mesh TLS does not heed curves"
        yield place.at("meshMTLS", "ecdhCurves").warning("no-effect", message, "remove it, or write it in tlsDefaults")


def _believing_everybody(config: ProxyConfig) -> Iterator[tuple[str, str]]:
    """Where X-Forwarded-Client-Cert is believed whoever sends it."""
    everybody = ForwardClientCertDetails.ALWAYS_FORWARD_ONLY
    topology, headers = config.gateway_topology, config.proxy_headers
    if topology and topology.forward_client_cert_details is everybody:
        yield "gatewayTopology", "forwardClientCertDetails"
    if headers and headers.forwarded_client_cert is everybody:
        yield "proxyHeaders", "forwardedClientCert"


def with_default_export(document: Document, names: tuple[str, ...]) -> Document:
    """A document that says nothing of exportTo, exported to `names`."""
    spec = cast("PolicyModel", document.spec)
    return replace(document, spec=spec.model_copy(update={"export_to": names}))
