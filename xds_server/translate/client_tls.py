"""How connections to the endpoints of a cluster are secured: by mesh TLS or plain, or as a DestinationRule says.

Source: Istio, pilot/pkg/networking/core/cluster_tls.go. Where Istio's sidecars would send plaintext because what they
were told to use is not there, the cluster is left without endpoints: its requests are answered 503.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from xds_server.ip_address import is_ip_address
from xds_server.mesh.credential import roots_name
from xds_server.mesh.identity import SCHEME, TrustDomain, is_segment
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS, ProxySettings, TlsLimits
from xds_server.mesh.route import Backend
from xds_server.mesh.service import Port, Resolution, Service
from xds_server.mesh.traffic import ClientTls, LoadBalancing, TlsMode
from xds_server.translate import mesh_tls, names
from xds_server.translate.connection_pool import speaks_http2
from xds_server.translate.encode import any_of
from xds_server.translate.file_secret import file_certificate, file_roots
from xds_server.translate.metadata import struct
from xds_server.translate.proxy_protocol import with_proxy_protocol
from xds_server.translate.raw_buffer import RAW_BUFFER
from xds_server.translate.tls_parameters import tls_parameters
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Alpine and Envoy's own images keep the authorities that everybody believes."""
_SanType = tls_v3.SubjectAltNameMatcherSanType
_Matcher = tls_v3.SubjectAltNameMatcher


@dataclass(frozen=True, slots=True)
class ClientSecurity:
    """What a cluster needs for it.

    Attributes:
        socket: for every endpoint that `matches` say nothing of; None is a plain connection.
        http: what must be known of each request.
        secrets: files that Envoy reads, as secrets; certificates of the mesh are not among them.
        refused: it cannot be secured as was asked, so nothing may be sent.
    """

    socket: core_v3.TransportSocket | None = None
    matches: tuple[cluster_v3.ClusterTransportSocketMatch, ...] = ()
    http: core_v3.UpstreamHttpProtocolOptions | None = None
    refs: tuple[tuple[str, str], ...] = ()
    secrets: tuple[Resource, ...] = ()
    refused: bool = False


def client_security(
    backend: Backend,
    port: Port,
    subset: str,
    trust_domain: TrustDomain | None,
    credentials: frozenset[str] = frozenset(),
    *,
    settings: ProxySettings = ISTIO_SETTINGS,
) -> ClientSecurity:
    """The security of one cluster.

    `trust_domain` is that of a caller with an identity; `credentials` are those of the secrets directory that it is
    given, which is a router's privilege.
    """
    tls = backend.traffic.policy_for(port.number, subset).tls
    if tls is not None and not tls.credentials <= credentials:
        return ClientSecurity(refused=True)
    version = backend.traffic.policy_for(port.number, subset).proxy_protocol
    found = _unwrapped(backend, port, subset, trust_domain, settings)
    if not version:
        return found
    return replace(
        found,
        socket=with_proxy_protocol(found.socket, version),
        matches=tuple(
            replace(match, transport_socket=with_proxy_protocol(match.transport_socket, version))
            for match in found.matches
        ),
    )


def uses_mesh_tls(backend: Backend, port: Port, subset: str, trust_domain: TrustDomain | None) -> bool:
    """Whether some connection to that cluster may be mesh TLS."""
    return _way(backend, port, subset, trust_domain) in {_Way.MESH, _Way.MESH_WHERE_TAKEN}


class _Way(enum.Enum):
    """How connections are secured, as far as policies decide it."""

    PLAIN = enum.auto()
    MESH = enum.auto()
    MESH_WHERE_TAKEN = enum.auto()
    BY_RULE = enum.auto()
    REFUSED = enum.auto()


def _way(backend: Backend, port: Port, subset: str, trust_domain: TrustDomain | None) -> _Way:
    tls = backend.traffic.policy_for(port.number, subset).tls
    if tls is None:
        return _automatic(backend, port, subset, trust_domain)
    if tls.mode is TlsMode.DISABLE:
        return _Way.PLAIN
    if tls.mode is TlsMode.ISTIO_MUTUAL:
        return _Way.REFUSED if trust_domain is None else _Way.MESH
    return _Way.BY_RULE


def _automatic(backend: Backend, port: Port, subset: str, trust_domain: TrustDomain | None) -> _Way:
    """Mesh TLS to the endpoints that take it, plain connections to the others (Istio's auto mTLS).

    A connection to where the traffic was addressed belongs to no endpoint: there all must take it.
    """
    taking = [endpoint.takes_mesh_tls(port) for endpoint in backend.service.endpoints]
    if trust_domain is None or backend.service.external or not any(taking):
        return _Way.PLAIN
    if is_addressed(backend, port, subset):
        return _Way.MESH if all(taking) else _Way.PLAIN
    return _Way.MESH_WHERE_TAKEN


def _unwrapped(
    backend: Backend, port: Port, subset: str, trust_domain: TrustDomain | None, settings: ProxySettings
) -> ClientSecurity:
    way = _way(backend, port, subset, trust_domain)
    tls = backend.traffic.policy_for(port.number, subset).tls
    if way is _Way.BY_RULE and tls is not None:
        return _by_rule(tls, backend.service, settings.other_tls)
    if way in {_Way.MESH, _Way.MESH_WHERE_TAKEN} and trust_domain is not None:
        socket = _mesh_socket(backend, port, subset, trust_domain, settings.mesh_tls)
        if way is _Way.MESH:
            return ClientSecurity(socket, refs=mesh_tls.REFS)
        return ClientSecurity(matches=(_match("istio", socket), _match("disabled", RAW_BUFFER)), refs=mesh_tls.REFS)
    return ClientSecurity(refused=way is _Way.REFUSED)


def is_addressed(backend: Backend, port: Port, subset: str) -> bool:
    """Whether that cluster sends to where the traffic was addressed, whatever the endpoints."""
    balancer = backend.traffic.policy_for(port.number, subset).load_balancer
    return backend.service.resolution is Resolution.NONE or balancer.policy is LoadBalancing.PASSTHROUGH


def _match(mode: str, socket: core_v3.TransportSocket | None) -> cluster_v3.ClusterTransportSocketMatch:
    """The first that matches an endpoint's metadata counts, so the one without conditions stands last."""
    return cluster_v3.ClusterTransportSocketMatch(
        name=f"tlsMode-{mode}", match=struct({"tlsMode": mode} if mode == "istio" else {}), transport_socket=socket
    )


def _mesh_socket(
    backend: Backend, port: Port, subset: str, trust_domain: TrustDomain, limits: TlsLimits
) -> core_v3.TransportSocket:
    """What a DestinationRule says of names wins over what is known of the service."""
    policy, service = backend.traffic.policy_for(port.number, subset), backend.service
    asked = policy.tls.subject_alt_names if policy.tls else ()
    return mesh_tls.client_socket(
        [_exactly(name) for name in asked] or _server_names(service, trust_domain),
        (policy.tls and policy.tls.sni) or names.outbound_sni(port.number, subset, service.host),
        mesh_tls.mesh_alpn(port.protocol, http2=speaks_http2(policy.connection_pool, port.protocol)),
        limits,
    )


def _server_names(service: Service, trust_domain: TrustDomain) -> list[_Matcher]:
    """Who may answer for a service: the accounts of its endpoints; where none is known, its namespace.

    Istio checks no name at all where none is known.
    """
    accounts = {
        (endpoint.namespace or service.namespace, endpoint.service_account)
        for endpoint in service.endpoints
        if endpoint.has_identity and is_segment(endpoint.service_account)
    }
    identities = [trust_domain.identity(*account) for account in sorted(accounts)]
    known = [*service.subject_alt_names, *(name for each in identities for name in trust_domain.spellings(each))]
    if known:
        return [_exactly(name) for name in dict.fromkeys(known)]
    prefixes = [f"{SCHEME}{domain}/ns/{service.namespace}/" for domain in trust_domain]
    return [mesh_tls.uri_matcher(matcher_v3.StringMatcher(prefix=prefix)) for prefix in prefixes]


def _by_rule(tls: ClientTls, service: Service, limits: TlsLimits) -> ClientSecurity:
    """SIMPLE and MUTUAL. The names that the ServiceEntry expects do for a rule that names none (Istio).

    Without a server name, that of each request is asked for and, where no other is expected, checked: on every port,
    for routes lead plain requests to one whose protocol is HTTPS, too.
    """
    expected = tls.subject_alt_names or service.subject_alt_names
    files = () if tls.credential_name else _files(tls)
    identity, roots = _identity_name(tls), _roots_name(tls)
    context = tls_v3.UpstreamTlsContext(
        sni=tls.sni,
        common_tls_context=tls_v3.CommonTlsContext(
            tls_params=None if limits == TlsLimits() else tls_parameters(limits),
            tls_certificate_sds_secret_configs=[mesh_tls.secret_over_this_stream(identity)] if identity else [],
            combined_validation_context=_validation(roots, expected) if roots else None,
        ),
    )
    checked = not expected and not tls.insecure_skip_verify
    return ClientSecurity(
        socket=core_v3.TransportSocket(name=mesh_tls.TLS_SOCKET, typed_config=any_of(context)),
        http=core_v3.UpstreamHttpProtocolOptions(auto_sni=True, auto_san_validation=checked) if not tls.sni else None,
        refs=tuple((type_url.SECRET, name) for name in (identity, roots) if name),
        secrets=files,
    )


def _validation(roots: str, expected: Iterable[str]) -> tls_v3.CommonTlsContextCombinedCertificateValidationContext:
    return tls_v3.CommonTlsContextCombinedCertificateValidationContext(
        default_validation_context=tls_v3.CertificateValidationContext(
            match_typed_subject_alt_names=[_exactly(name) for name in expected]
        ),
        validation_context_sds_secret_config=mesh_tls.secret_over_this_stream(roots),
    )


def _identity_name(tls: ClientTls) -> str:
    """The secret that the caller shows, "" for none."""
    if tls.mode is not TlsMode.MUTUAL:
        return ""
    if tls.credential_name:
        return names.credential(tls.credential_name)
    return names.file_certificate(tls.client_certificate, tls.private_key)


def _roots_name(tls: ClientTls) -> str:
    """The secret that says whom to believe, "" for anybody."""
    if tls.insecure_skip_verify:
        return ""
    if tls.credential_name:
        return names.credential(roots_name(tls.credential_name))
    return names.file_roots(tls.ca_certificates or SYSTEM_ROOTS, tls.ca_crl)


def _files(tls: ClientTls) -> tuple[Resource, ...]:
    certificate = tls.client_certificate, tls.private_key
    found = [file_certificate(*certificate)] if tls.mode is TlsMode.MUTUAL else []
    roots = [] if tls.insecure_skip_verify else [file_roots(tls.ca_certificates or SYSTEM_ROOTS, tls.ca_crl)]
    return (*found, *roots)


def _exactly(name: str) -> _Matcher:
    """The name as the kind of name that it looks like."""
    matcher = matcher_v3.StringMatcher(exact=name)
    if "://" in name:
        return mesh_tls.uri_matcher(matcher)
    if "@" in name:
        return _Matcher(san_type=_SanType.EMAIL, matcher=matcher)
    return _Matcher(san_type=_SanType.IP_ADDRESS if is_ip_address(name) else _SanType.DNS, matcher=matcher)
