"""TLS towards clients: a Gateway server's certificates, and whom it asks for theirs.

Certificates are secrets that come by name, so a new one is taken up without closing a connection: from the secrets
directory (`kubernetes://NAME`, Istio's name for a credential), from files of the router, or the proxy's own identity.
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from xds_server.mesh.gateway import ServerTls, ServerTlsMode
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS, ProxySettings, TlsLimits
from xds_server.translate import mesh_tls, names
from xds_server.translate.encode import any_of
from xds_server.translate.file_secret import file_certificate, file_roots
from xds_server.translate.tls_parameters import tls_parameters
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

HTTP_PROTOCOLS = ("h2", "http/1.1")
"""What a server of HTTPS offers its clients (ALPN)."""
_Trust = tls_v3.CertificateValidationContextTrustChainVerification


@dataclass(frozen=True, slots=True)
class ServerSecurity:
    """What a filter chain that ends TLS needs.

    Attributes:
        refs: secrets that it refers to.
        secrets: those of them that are files of the router.
    """

    socket: core_v3.TransportSocket
    refs: tuple[tuple[str, str], ...]
    secrets: tuple[Resource, ...] = ()


def server_security(
    tls: ServerTls, trust_domain: TrustDomain | None, *, http: bool, settings: ProxySettings = ISTIO_SETTINGS
) -> ServerSecurity | None:
    """The TLS of one server; None when it is that of the mesh and the router has no identity in it."""
    if tls.mode is ServerTlsMode.ISTIO_MUTUAL:
        if trust_domain is None:
            return None
        return ServerSecurity(mesh_tls.server_socket(trust_domain, settings.mesh_tls), mesh_tls.REFS)
    own = [file_certificate(*pair) for pair in tls.files]
    certificates = [*(names.credential(name) for name in tls.credentials), *(secret.name for secret in own)]
    by_file = tls.asks_client and bool(tls.roots_file)
    roots_file = file_roots(tls.roots_file, tls.revoked_file) if by_file else None
    roots = roots_file.name if roots_file else names.credential(tls.roots) if tls.roots else ""
    context = tls_v3.DownstreamTlsContext(
        common_tls_context=tls_v3.CommonTlsContext(
            tls_params=tls_parameters(_limits(tls, settings.other_tls), tls.max_version),
            tls_certificate_sds_secret_configs=[mesh_tls.secret_over_this_stream(name) for name in certificates],
            combined_validation_context=_validation(tls, roots) if roots else None,
            alpn_protocols=list(HTTP_PROTOCOLS) if http else [],
        ),
        require_client_certificate=tls.mode is ServerTlsMode.MUTUAL,
    )
    secrets = (*own, *([roots_file] if roots_file else []))
    return ServerSecurity(
        core_v3.TransportSocket(name=mesh_tls.TLS_SOCKET, typed_config=any_of(context)),
        tuple((type_url.SECRET, name) for name in (*certificates, *([roots] if roots else []))),
        secrets,
    )


def _limits(tls: ServerTls, default: TlsLimits) -> TlsLimits:
    return TlsLimits(
        tls.min_version or default.min_version, tls.cipher_suites or default.ciphers, tls.curves or default.curves
    )


def _validation(tls: ServerTls, roots: str) -> tls_v3.CommonTlsContextCombinedCertificateValidationContext:
    """OPTIONAL_MUTUAL takes a client without a certificate, never one with a wrong one (Istio's meaning)."""
    return tls_v3.CommonTlsContextCombinedCertificateValidationContext(
        default_validation_context=tls_v3.CertificateValidationContext(
            trust_chain_verification=_Trust.ACCEPT_UNTRUSTED if tls.takes_any else _Trust.VERIFY_TRUST_CHAIN,
            verify_certificate_spki=list(tls.spki_hashes),
            verify_certificate_hash=list(tls.certificate_hashes),
            match_typed_subject_alt_names=[
                tls_v3.SubjectAltNameMatcher(san_type=kind, matcher=matcher_v3.StringMatcher(exact=name))
                for name in tls.subject_alt_names
                for kind in _SAN_TYPES
            ],
        ),
        validation_context_sds_secret_config=mesh_tls.secret_over_this_stream(roots),
    )


_SAN_TYPES = (
    tls_v3.SubjectAltNameMatcherSanType.URI,
    tls_v3.SubjectAltNameMatcherSanType.DNS,
)
"""What a client's name may be written as."""
