"""Which versions, ciphers and curves of TLS are spoken."""

from __future__ import annotations

from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from xds_server.mesh.proxy_settings import TlsLimits

_Version = tls_v3.TlsParametersTlsProtocol
_VERSIONS = {
    "TLSV1_0": _Version.TLSv1_0,
    "TLSV1_1": _Version.TLSv1_1,
    "TLSV1_2": _Version.TLSv1_2,
    "TLSV1_3": _Version.TLSv1_3,
}


def tls_parameters(limits: TlsLimits, max_version: str = "") -> tls_v3.TlsParameters:
    """TLS 1.2 to 1.3, Istio's, where no other version is named. Ciphers are those of 1.2: of 1.3 none is chosen."""
    return tls_v3.TlsParameters(
        tls_minimum_protocol_version=_VERSIONS.get(limits.min_version, _Version.TLSv1_2),
        tls_maximum_protocol_version=_VERSIONS.get(max_version, _Version.TLSv1_3),
        cipher_suites=list(limits.ciphers),
        ecdh_curves=list(limits.curves),
    )
