"""What the TLS settings of a Gateway server or of a Sidecar's ingress port mean."""

from __future__ import annotations

from xds_server.mesh.gateway import ServerTls, ServerTlsMode
from xds_server.policy.server_tls import ServerTLSSettings, TLSProtocol


def server_tls(written: ServerTLSSettings) -> ServerTls:
    """The settings with their certificates in one form."""
    mode = ServerTlsMode(written.mode)
    credentials = written.credential_names or ((written.credential_name,) if written.credential_name else ())
    files = tuple((each.server_certificate, each.private_key) for each in written.tls_certificates)
    if written.server_certificate:
        files = ((written.server_certificate, written.private_key),)
    roots = next((each.ca_certificates for each in written.tls_certificates if each.ca_certificates), "")
    return ServerTls(
        mode=mode,
        credentials=credentials,
        roots_credential=written.ca_cert_credential_name,
        files=files,
        roots_file=written.ca_certificates or roots,
        revoked_file=written.ca_crl,
        subject_alt_names=written.subject_alt_names,
        spki_hashes=written.verify_certificate_spki,
        certificate_hashes=written.verify_certificate_hash,
        takes_any=bool(written.insecure_skip_verify),
        min_version=_version(written.min_protocol_version),
        max_version=_version(written.max_protocol_version),
        cipher_suites=written.cipher_suites,
        curves=written.ecdh_curves,
    )


def _version(written: TLSProtocol) -> str:
    return "" if written is TLSProtocol.TLS_AUTO else str(written)
