"""What our certificates say, and what they never say."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.identity.material import NOW, WEB, intermediate, root
from xds_server.identity.authority import BACKDATE, Leaf, Use, fingerprint, issue, new_key, new_root, pem, sign
from xds_server.mesh.identity import KeyKind

CLUSTER_ROOT = root()


def leaf(kind: KeyKind = KeyKind.EC_P256) -> x509.Certificate:
    return issue(CLUSTER_ROOT, new_key(kind).public_key(), WEB, NOW)


def names(certificate: x509.Certificate) -> list[x509.GeneralName]:
    return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)


def test_leaf_names_one_uri_and_nothing_else() -> None:
    """A principal is tried on DNS names and the subject too: either would let a workload be somebody else."""
    certificate = leaf()

    assert names(certificate) == [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop/sa/web")]
    assert list(certificate.subject) == []
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_leaf_lives_a_day_from_five_minutes_ago() -> None:
    certificate = leaf()

    assert certificate.not_valid_before_utc == NOW - BACKDATE
    assert certificate.not_valid_after_utc == NOW + timedelta(hours=24)


@pytest.mark.parametrize("hours", [24.001, 0, -1])
def test_leaf_of_no_sensible_life_is_refused(hours: float) -> None:
    with pytest.raises(ValueError, match="at most"):
        issue(CLUSTER_ROOT, new_key().public_key(), WEB, NOW, lifetime=timedelta(hours=hours))


def test_leaf_ends_no_later_than_its_authority() -> None:
    short = root(lifetime=timedelta(hours=1))

    assert issue(short, new_key().public_key(), WEB, NOW).not_valid_after_utc == NOW + timedelta(hours=1)


def test_expired_authority_signs_nothing() -> None:
    with pytest.raises(ValueError, match="expired"):
        issue(CLUSTER_ROOT, new_key().public_key(), WEB, NOW + timedelta(days=3651))


def test_leaf_is_for_both_sides_of_a_handshake_and_signs_no_certificate() -> None:
    extensions = leaf().extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage).value

    assert set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
    }
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign, usage.crl_sign) == (
        (True, False, False, False)
    )
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_rsa_leaf_may_encipher_keys() -> None:
    """TLS 1.2 with RSA key exchange needs it."""
    usage = leaf(KeyKind.RSA_2048).extensions.get_extension_for_class(x509.KeyUsage).value

    assert usage.key_encipherment


def test_root_signs_leaves_only() -> None:
    extensions = CLUSTER_ROOT.certificate.extensions

    assert extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert names(CLUSTER_ROOT.certificate) == [x509.UniformResourceIdentifier("spiffe://cluster.local")]


def test_two_roots_have_two_subjects() -> None:
    """During a rotation both are in one bundle, and chains are built by subject."""
    assert CLUSTER_ROOT.certificate.subject != root().certificate.subject


def test_request_gives_its_key_and_no_name() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "spiffe://cluster.local/ns/bank/sa/vault")]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("vault.bank")]), critical=False)
        .sign(key, hashes.SHA256())
    )

    certificate = issue(CLUSTER_ROOT, request, WEB, NOW)

    assert certificate.public_key() == key.public_key()
    assert list(certificate.subject) == []
    assert names(certificate) == [x509.UniformResourceIdentifier(str(WEB))]


@pytest.mark.parametrize(
    "weak",
    [
        rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505 - to be refused
        ec.generate_private_key(ec.SECP192R1()),
    ],
    ids=["rsa-1024", "p-192"],
)
def test_weak_key_is_refused(weak: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(ValueError, match="too weak"):
        issue(CLUSTER_ROOT, weak.public_key(), WEB, NOW)


def test_control_planes_certificate_is_for_its_side_only() -> None:
    profile = Leaf("spiffe://cluster.local/control-plane", timedelta(hours=1), Use.SERVER, ("xds-server",))

    certificate = sign(CLUSTER_ROOT, new_key().public_key(), profile, NOW)

    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert x509.DNSName("xds-server") in names(certificate)


def test_root_presents_nothing_and_intermediate_itself() -> None:
    below = intermediate(CLUSTER_ROOT)

    assert CLUSTER_ROOT.presented == ()
    assert below.presented == (below.certificate,)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_openssl_believes_the_chain(kind: KeyKind, tmp_path: Path) -> None:
    company = new_root("company", "cluster.local", NOW, key=new_key(kind))
    certificate = issue(company, new_key(kind).public_key(), WEB, NOW)
    (tmp_path / "root.pem").write_bytes(pem(company.roots))
    (tmp_path / "leaf.pem").write_bytes(pem([certificate]))

    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp())), "-CAfile", "root.pem", "leaf.pem"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout == "leaf.pem: OK\n", done.stderr


def test_fingerprint_is_what_openssl_prints(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(pem(CLUSTER_ROOT.roots))

    printed = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "root.pem", "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert printed.strip().partition("=")[2].replace(":", "").lower() == fingerprint(CLUSTER_ROOT.certificate)


def test_key_is_not_in_the_repr() -> None:
    assert "key" not in repr(CLUSTER_ROOT).replace("KeyIdentifier", "")
