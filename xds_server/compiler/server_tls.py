"""What the TLS settings of a Gateway server or of a Sidecar's ingress port mean."""

from __future__ import annotations

from collections.abc import Iterator

from xds_server.compiler.finding import Place
from xds_server.mesh.gateway import ServerTls, ServerTlsMode
from xds_server.policy.server_tls import PASSED_ON, ServerTLSSettings, TLSProtocol, certificates
from xds_server.problem import Problem

CIPHERS = frozenset(
    {
        "",
        "AES128-GCM-SHA256",
        "AES128-SHA",
        "AES256-GCM-SHA384",
        "AES256-SHA",
        "ALL",
        "DES-CBC3-SHA",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-SHA",
        "ECDHE-RSA-CHACHA20-POLY1305",
    }
)
"""What Envoy's TLS library knows. One that it does not know would cost the whole listener (Istio leaves it out too)."""


def server_tls(written: ServerTLSSettings) -> ServerTls:
    """The settings with their certificates in one form, and without what `idle_tls` tells of."""
    mode = ServerTlsMode(written.mode)
    if written.mode in PASSED_ON:
        return ServerTls(mode)
    credentials = written.credential_names or ((written.credential_name,) if written.credential_name else ())
    files = tuple((each.server_certificate, each.private_key) for each in written.tls_certificates)
    if written.server_certificate and not credentials:
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
        cipher_suites=tuple(dict.fromkeys(cipher for cipher in written.cipher_suites if _is_known(cipher))),
        curves=written.ecdh_curves,
    )


def idle_tls(written: ServerTLSSettings, place: Place) -> Iterator[Problem]:
    """What to say of settings at `place` that nothing comes of."""
    if written.mode in PASSED_ON:
        for field in certificates(written):
            message = f"has no effect: mode {written.mode} leaves the TLS to the service behind"
            yield place.at(field).warning("no-effect", message, "remove it, or change the mode")
        return
    if written.credential_name or written.credential_names:
        named = "credentialName" if written.credential_name else "credentialNames"
        for field, file in (("serverCertificate", written.server_certificate), ("privateKey", written.private_key)):
            if file:
                message = f"has no effect: {named} names the certificate"
                yield place.at(field).warning("no-effect", message, "remove it")
    for index, cipher in enumerate(written.cipher_suites):
        if not _is_known(cipher):
            message = f'Envoy knows no cipher suite "{cipher}": it is left out'
            fix = "write a name of OpenSSL's, such as ECDHE-RSA-AES128-GCM-SHA256"
            yield place.at("cipherSuites", index).warning("unknown-cipher", message, fix)


def _is_known(cipher: str) -> bool:
    """What begins with a sign is an expression, which is BoringSSL's to read."""
    return cipher in CIPHERS or not cipher[0].isalnum()


def _version(written: TLSProtocol) -> str:
    return "" if written is TLSProtocol.TLS_AUTO else str(written)
