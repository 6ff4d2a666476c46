"""A certificate chain with its key, and whether the two may be sent: the last gate before a proxy.

Envoy accepts an expired certificate without a word and presents it, so what is unusable must be stopped here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from xds_server.errors import UnusableIdentity
from xds_server.identity.authority import PrivateKey, key_pem, pem
from xds_server.mesh.identity import Credentials

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Svid:
    """An identity document: whoever holds the key is who the first certificate says.

    Attributes:
        certificates: the leaf, then those between it and a root.
        key: of the leaf; never shown in a repr.
        roots: whom its owner believes, in any order.
    """

    certificates: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False)
    roots: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        """The owner's own certificate."""
        return self.certificates[0]

    @property
    def uri(self) -> str:
        """The name in the leaf; "" unless there is exactly one URI (X.509-SVID, section 2)."""
        uris = uri_names(self.leaf)
        return uris[0] if len(uris) == 1 else ""

    def check(self, now: datetime) -> None:
        """Verify that a peer with the same roots would believe it to be what its one name says.

        Raises:
            UnusableIdentity: it names nobody, or see `check_chain`.
        """
        if not self.uri:
            raise UnusableIdentity("the certificate must name exactly one URI (a SPIFFE ID)")
        self.check_chain(now)

    def check_chain(self, now: datetime) -> None:
        """Verify that key, certificates and roots belong together, now.

        Raises:
            UnusableIdentity: the key is another's, something has expired or is not valid yet, or the chain ends in none
                of the roots. The text holds no key.
        """
        if self.leaf.public_key() != self.key.public_key():
            raise UnusableIdentity("the private key is not that of the certificate")
        for certificate in self.certificates:
            _check_time(certificate, now)
        if not any(_is_issued_by(self.certificates[-1], root) for root in self.roots if _is_valid(root, now)):
            raise UnusableIdentity("the certificate's chain ends in none of the roots")
        for one, issuer in zip(self.certificates, self.certificates[1:], strict=False):
            if not _is_issued_by(one, issuer):
                raise UnusableIdentity("the certificates of the chain are not each issued by the next")

    def credentials(self, roots: Iterable[x509.Certificate] = ()) -> Credentials:
        """What its owner is sent; `roots` are believed too."""
        believed = dict.fromkeys((*self.roots, *roots))
        return Credentials(pem(self.certificates), key_pem(self.key), pem(sorted(believed, key=_order)))


def read_certificates(data: bytes, what: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM text, in its order.

    Raises:
        UnusableIdentity: there is none, or one cannot be read; `what` says in which place.
    """
    return tuple(_read(lambda: x509.load_pem_x509_certificates(data), f"{what} holds no PEM certificate"))


def read_key(data: bytes, what: str) -> PrivateKey:
    """The private key of a PEM text.

    Raises:
        UnusableIdentity: there is none, it is encrypted, or neither EC nor RSA; the text quotes nothing of it.
    """
    key = _read(
        lambda: serialization.load_pem_private_key(data, password=None), f"{what} holds no unencrypted private key"
    )
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise UnusableIdentity(f"{what} holds a key that is neither EC nor RSA")
    return key


def uri_names(certificate: x509.Certificate) -> Sequence[str]:
    """The URIs among a certificate's alternative names."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _read(read: Callable[[], T], otherwise: str) -> T:
    try:
        return read()
    except (ValueError, TypeError):
        # Without the cause: its text might quote what was read.
        raise UnusableIdentity(otherwise) from None


def _check_time(certificate: x509.Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        raise UnusableIdentity(f"the certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC")
    if certificate.not_valid_before_utc > now:
        begin = certificate.not_valid_before_utc
        raise UnusableIdentity(f"the certificate is not valid before {begin:%Y-%m-%d %H:%M:%S} UTC")


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    if certificate == issuer:
        return True
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _order(certificate: x509.Certificate) -> tuple[datetime, int]:
    """Oldest first, so that the same roots are the same bytes whoever lists them."""
    return certificate.not_valid_before_utc, certificate.serial_number
