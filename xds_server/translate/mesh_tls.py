"""Mesh TLS: both ends prove their identity with certificates that come over the same stream, by name.

The names are the same for every proxy and stand for its own key and roots, so nothing here depends on who the proxy is.
Stock Envoy has no filter that tells HTTP from TCP inside mesh TLS, so the ALPN says it: an inbound proxy chooses its
filter chain by it. Source: Istio, pilot/pkg/security/model and pilot/pkg/networking/core/cluster_tls.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3

from xds_server.mesh.identity import SCHEME, TrustDomain
from xds_server.mesh.proxy_settings import TlsLimits
from xds_server.mesh.service import Protocol
from xds_server.translate.encode import any_of
from xds_server.translate.secret import IDENTITY, ROOTS
from xds_server.translate.tls_parameters import tls_parameters
from xds_server.xds import type_url

TLS_SOCKET = "envoy.transport_sockets.tls"
REFS = ((type_url.SECRET, IDENTITY), (type_url.SECRET, ROOTS))
"""What a resource with a mesh TLS context needs."""

HTTP_ALPN = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
"""ALPN by which callers say that HTTP is inside; which HTTP, the first bytes tell."""
TCP_ALPN = ("istio-peer-exchange", "istio")
"""ALPN by which callers say that something else is inside. The first is never sent by us: it would promise a preamble
that only Istio's own Envoy speaks."""
MESH_ALPN = (*TCP_ALPN, *HTTP_ALPN)
TCP_INSIDE = "istio"
HTTP_INSIDE = "istio-http/1.1"
HTTP2_INSIDE = "istio-h2"

_INNER_ALPN = ("h2", "http/1.1")
_CIPHERS = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
)
"""Istio's, for TLS 1.2; those of 1.3 are not chosen."""
_SanType = tls_v3.SubjectAltNameMatcherSanType


def client_socket(
    server_names: Iterable[tls_v3.SubjectAltNameMatcher], sni: str, alpn: str, limits: TlsLimits = TlsLimits()
) -> core_v3.TransportSocket:
    """The caller's end: any of `server_names` will do.

    `alpn` is one of those above and is never left out: Envoy would offer `h2` or `http/1.1`, which a PERMISSIVE server
    takes for the application's own TLS.
    """
    common = _context(server_names, (alpn,), TlsLimits(min_version=limits.min_version))
    context = tls_v3.UpstreamTlsContext(sni=sni, common_tls_context=common)
    return core_v3.TransportSocket(name=TLS_SOCKET, typed_config=any_of(context))


def server_socket(trust_domain: TrustDomain, limits: TlsLimits = TlsLimits()) -> core_v3.TransportSocket:
    """The application's end: the caller must show a certificate of the mesh, whatever its name there."""
    spoken = TlsLimits(limits.min_version, limits.ciphers or _CIPHERS)
    domains = [uri_matcher(matcher_v3.StringMatcher(prefix=f"{SCHEME}{name}/")) for name in trust_domain]
    context = tls_v3.DownstreamTlsContext(
        common_tls_context=_context(domains, _INNER_ALPN, spoken), require_client_certificate=True
    )
    return core_v3.TransportSocket(name=TLS_SOCKET, typed_config=any_of(context))


def secret_over_this_stream(name: str) -> tls_v3.SdsSecretConfig:
    """A secret by name. Envoy waits for it as long as it takes: without it there is nothing to say or to believe."""
    source = core_v3.ConfigSource(
        ads=core_v3.AggregatedConfigSource(),
        initial_fetch_timeout=timedelta(0),
        resource_api_version=core_v3.ApiVersion.V3,
    )
    return tls_v3.SdsSecretConfig(name=name, sds_config=source)


def uri_matcher(matcher: matcher_v3.StringMatcher) -> tls_v3.SubjectAltNameMatcher:
    """Matches URI names alone: a DNS name that looks like an identity must not pass for one."""
    return tls_v3.SubjectAltNameMatcher(san_type=_SanType.URI, matcher=matcher)


def mesh_alpn(protocol: Protocol, *, http2: bool) -> str:
    """What callers of a port say is inside. Where the protocol is detected, HTTP: TCP connections say so themselves."""
    if http2:
        return HTTP2_INSIDE
    return HTTP_INSIDE if protocol.is_http or protocol is Protocol.AUTO else TCP_INSIDE


def _context(
    names: Iterable[tls_v3.SubjectAltNameMatcher], alpn: Iterable[str], limits: TlsLimits
) -> tls_v3.CommonTlsContext:
    return tls_v3.CommonTlsContext(
        tls_params=tls_parameters(limits),
        tls_certificate_sds_secret_configs=[secret_over_this_stream(IDENTITY)],
        combined_validation_context=tls_v3.CommonTlsContextCombinedCertificateValidationContext(
            default_validation_context=tls_v3.CertificateValidationContext(match_typed_subject_alt_names=list(names)),
            validation_context_sds_secret_config=secret_over_this_stream(ROOTS),
        ),
        alpn_protocols=list(alpn),
    )
