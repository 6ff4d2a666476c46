"""Authorities and identity documents to test with; keys are fresh, time is fixed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from xds_server.identity.authority import LEAF_LIFETIME, Authority, issue, new_key, new_root
from xds_server.identity.svid import Svid
from xds_server.mesh.identity import SpiffeId

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
WEB = SpiffeId("cluster.local", "shop", "web")


def root(now: datetime = NOW, *, lifetime: timedelta = timedelta(days=3650)) -> Authority:
    """A self-signed authority of the domain cluster.local."""
    return new_root("mesh", "cluster.local", now, key=new_key(), lifetime=lifetime)


def intermediate(above: Authority, now: datetime = NOW) -> Authority:
    """An authority under `above`, made as a company's CA would: nothing of ours is in it."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Intermediate")]))
        .issuer_name(above.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(above.key, hashes.SHA256())
    )
    return Authority(certificate, key, chain=above.presented, roots=above.roots)


def svid(
    authority: Authority, identity: SpiffeId = WEB, now: datetime = NOW, *, lifetime: timedelta = LEAF_LIFETIME
) -> Svid:
    """A workload's identity document."""
    key = new_key()
    leaf = issue(authority, key.public_key(), identity, now, lifetime=lifetime)
    return Svid((leaf, *authority.presented), key, authority.roots)
