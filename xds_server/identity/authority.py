"""A certificate authority as a value: given its key and the time, what it signs is a pure function.

Nothing here touches a disk, a clock or a network. What a certificate says comes from the caller, who knows who asks;
of a signing request only the public key is taken, as in Istio's CA (security/pkg/server/ca), so that nobody can ask
for a name. Leaves have exactly one URI SAN, no subject and, for workloads, no DNS name: Envoy's RBAC tries a principal
on URI names, then DNS names, then the subject.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xds_server.mesh.identity import SCHEME, KeyKind, SpiffeId

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

LEAF_LIFETIME = timedelta(hours=24)
"""The longest life of a workload's certificate, and what it gets unless told otherwise (Istio's default)."""
ROOT_LIFETIME = timedelta(days=3650)
BACKDATE = timedelta(minutes=5)
"""Certificates are valid from so long before they were made: clocks in a fleet differ."""

_LEAST_RSA_BITS = 2048


class Use(enum.StrEnum):
    """Which side of a TLS handshake a certificate is for."""

    CLIENT = "client"
    SERVER = "server"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a certificate is to say.

    Attributes:
        uri: the one name in it.
        lifetime: cut short where the authority itself ends earlier.
        dns_names: only for a server that is no workload.
    """

    uri: str
    lifetime: timedelta
    use: Use = Use.BOTH
    dns_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Authority:
    """A key that signs, and what others need to believe it.

    Attributes:
        certificate: the authority's own: a root, or an intermediate.
        key: never shown in a repr.
        chain: certificates between `certificate` and the roots, both left out.
        roots: what those who believe it hold.
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()
    roots: tuple[x509.Certificate, ...] = ()

    @property
    def presented(self) -> tuple[x509.Certificate, ...]:
        """What a leaf must bring along: every certificate between it and a root."""
        return () if self.certificate in self.roots else (self.certificate, *self.chain)


def new_key(kind: KeyKind = KeyKind.EC_P256) -> PrivateKey:
    """A fresh private key."""
    if kind is KeyKind.RSA_2048:
        return rsa.generate_private_key(public_exponent=65537, key_size=_LEAST_RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def new_root(
    name: str, trust_domain: str, now: datetime, *, key: PrivateKey, lifetime: timedelta = ROOT_LIFETIME
) -> Authority:
    """A self-signed root that may sign leaves and no further authority.

    Args:
        name: what it is for, shown in its subject. The subject also carries part of the key's hash, so that two roots
            that stand side by side during a rotation are told apart.
        trust_domain: its URI SAN is that domain's SPIFFE ID, without a path (X.509-SVID, section 4.1).
        now: aware.
        key: what it signs with.
        lifetime: from `now` on.
    """
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "xds-server"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {identifier.digest[:8].hex()}"),
        ]
    )
    certificate = (
        _builder(public, subject, subject, now, now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(_names([SCHEME + trust_domain]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key, roots=(certificate,))


def issue(
    authority: Authority,
    subject: PublicKey | x509.CertificateSigningRequest,
    identity: SpiffeId,
    now: datetime,
    *,
    lifetime: timedelta = LEAF_LIFETIME,
) -> x509.Certificate:
    """A workload's X.509-SVID for both sides of a handshake.

    Args:
        authority: who signs.
        subject: whose key is certified. A request proves that its sender has the key, and tells nothing else.
        identity: the one name in it; must be known from elsewhere.
        now: aware; validity begins `BACKDATE` earlier.
        lifetime: from `now` on.

    Raises:
        ValueError: `lifetime` is above `LEAF_LIFETIME` or not positive, the key is too weak, or the request is not
            signed by the key in it.
    """
    if not timedelta() < lifetime <= LEAF_LIFETIME:
        raise ValueError(f"a workload's certificate lives {LEAF_LIFETIME} at most, not {lifetime}")
    return sign(authority, subject, Leaf(str(identity), lifetime), now)


def sign(
    authority: Authority, subject: PublicKey | x509.CertificateSigningRequest, leaf: Leaf, now: datetime
) -> x509.Certificate:
    """Any leaf; see `issue` for the arguments.

    Raises:
        ValueError: the key is too weak, the request is not signed by the key in it, or the authority has expired.
    """
    public = _public_key(subject)
    issuer = authority.certificate
    until = min(now + leaf.lifetime, issuer.not_valid_after_utc)
    if until <= now:
        raise ValueError(f"the authority {issuer.subject.rfc4514_string()} expired on {issuer.not_valid_after_utc}")
    return (
        _builder(public, x509.Name([]), issuer.subject, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(enciphers_keys=isinstance(public, rsa.RSAPublicKey)), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_PURPOSES[leaf.use]), critical=False)
        # Critical, as RFC 5280 demands where there is no subject.
        .add_extension(_names([leaf.uri], leaf.dns_names), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_authority_key(issuer), critical=False)
        .sign(authority.key, hashes.SHA256())
    )


def pem(certificates: Iterable[x509.Certificate]) -> bytes:
    """Certificates in PEM, one behind the other."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def key_pem(key: PrivateKey) -> bytes:
    """A private key in PEM (PKCS #8, unencrypted)."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate in hex, as `openssl x509 -fingerprint -sha256` says it without colons."""
    return certificate.fingerprint(hashes.SHA256()).hex()


_PURPOSES = {
    Use.CLIENT: [ExtendedKeyUsageOID.CLIENT_AUTH],
    Use.SERVER: [ExtendedKeyUsageOID.SERVER_AUTH],
    Use.BOTH: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
}


def _public_key(subject: PublicKey | x509.CertificateSigningRequest) -> PublicKey:
    key = subject
    if isinstance(key, x509.CertificateSigningRequest):
        if not key.is_signature_valid:
            raise ValueError("the signing request is not signed by the key in it")
        requested = key.public_key()
        if not isinstance(requested, PublicKey):
            raise ValueError("the key of a signing request must be EC or RSA")
        key = requested
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        raise ValueError(f"an RSA key of {key.key_size} bits is too weak; use {_LEAST_RSA_BITS} or EC P-256")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 256:
        raise ValueError(f"an EC key of {key.key_size} bits is too weak; use P-256")
    return key


def _builder(
    key: PublicKey, subject: x509.Name, issuer: x509.Name, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(until)
    )


def _names(uris: Iterable[str], dns_names: Iterable[str] = ()) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(
        [*(x509.UniformResourceIdentifier(uri) for uri in uris), *(x509.DNSName(name) for name in dns_names)]
    )


def _key_usage(*, signs_certificates: bool = False, enciphers_keys: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=enciphers_keys,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's own key identifier where it has one: a company's CA may not hash keys as we do."""
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type] # CA keys sign
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
