"""TLS towards clients, as Sidecar ingress and Gateway servers write it (istio.io/v1 Gateway, ServerTLSSettings)."""

from __future__ import annotations

from xds_server.policy.model import PolicyEnum, PolicyModel
from xds_server.policy.values import Bool


class ServerTLSMode(PolicyEnum):
    """What is asked of clients."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


PASSED_ON = frozenset({ServerTLSMode.PASSTHROUGH, ServerTLSMode.AUTO_PASSTHROUGH})
"""Modes in which the TLS is not ended."""


class TLSProtocol(PolicyEnum):
    """TLS version; TLS_AUTO is the default."""

    TLS_AUTO = "TLS_AUTO"
    TLSV1_0 = "TLSV1_0"
    TLSV1_1 = "TLSV1_1"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


class TLSCertificate(PolicyModel):
    """One certificate from files."""

    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


class ServerTLSSettings(PolicyModel):
    """TLS towards clients."""

    https_redirect: Bool = False
    mode: ServerTLSMode = ServerTLSMode.PASSTHROUGH
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    credential_names: tuple[str, ...] = ()
    ca_cert_credential_name: str = ""
    tls_certificates: tuple[TLSCertificate, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: TLSProtocol = TLSProtocol.TLS_AUTO
    max_protocol_version: TLSProtocol = TLSProtocol.TLS_AUTO
    cipher_suites: tuple[str, ...] = ()
    ecdh_curves: tuple[str, ...] = ()
    insecure_skip_verify: Bool | None = None


def certificates(tls: ServerTLSSettings) -> list[str]:
    """The fields that name the server's own certificate, in order of precedence.

    One file of two counts where no credential is named: there it is a mistake, here it was never read (Istio's rule).
    """
    by_name = bool(tls.credential_name or tls.credential_names)
    one, both = tls.server_certificate or tls.private_key, tls.server_certificate and tls.private_key
    sources = {
        "credentialName": bool(tls.credential_name),
        "credentialNames": bool(tls.credential_names),
        "tlsCertificates": bool(tls.tls_certificates),
        "serverCertificate": bool(both if by_name else one),
    }
    return [name for name, written in sources.items() if written]
