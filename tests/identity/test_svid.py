"""What may be sent to a proxy, and what is stopped."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.identity.material import NOW, WEB, intermediate, root, svid
from xds_server.errors import UnusableIdentity
from xds_server.identity.authority import key_pem, new_key, pem
from xds_server.identity.svid import read_certificates, read_key

MESH = root()


def test_good_document_passes_with_and_without_an_intermediate() -> None:
    svid(MESH).check(NOW)
    svid(intermediate(MESH)).check(NOW)


def test_key_of_another_certificate_is_stopped() -> None:
    with pytest.raises(UnusableIdentity, match="not that of the certificate"):
        replace(svid(MESH), key=new_key()).check(NOW)


@pytest.mark.parametrize(
    ("later", "why"), [(timedelta(hours=24), "expired on"), (-timedelta(minutes=6), "not valid before")], ids=str
)
def test_document_out_of_its_time_is_stopped(later: timedelta, why: str) -> None:
    with pytest.raises(UnusableIdentity, match=why):
        svid(MESH).check(NOW + later)


def test_chain_to_a_foreign_root_is_stopped() -> None:
    with pytest.raises(UnusableIdentity, match="none of the roots"):
        replace(svid(MESH), roots=root().roots).check(NOW)


def test_chain_to_an_expired_root_is_stopped() -> None:
    long, short = root(), root(lifetime=timedelta(hours=1))
    document = replace(svid(short, lifetime=timedelta(hours=1)), roots=(*short.roots, *long.roots))

    with pytest.raises(UnusableIdentity):
        document.check(NOW + timedelta(hours=2))


def test_broken_chain_is_stopped() -> None:
    document = svid(MESH)

    with pytest.raises(UnusableIdentity, match="each issued by the next"):
        replace(document, certificates=(document.leaf, intermediate(MESH).certificate)).check(NOW)


def test_document_tells_its_name() -> None:
    assert svid(MESH).uri == str(WEB)


def test_roots_are_the_same_bytes_in_any_order() -> None:
    older, newer = root(NOW - timedelta(days=1)), root()
    document = svid(MESH)

    one = replace(document, roots=newer.roots).credentials(older.roots)
    other = replace(document, roots=older.roots).credentials(newer.roots)

    assert one.roots == other.roots == pem((*older.roots, *newer.roots))


def test_what_is_written_is_read_back() -> None:
    document = svid(intermediate(MESH))

    assert read_certificates(pem(document.certificates), "chain") == document.certificates
    assert key_pem(read_key(key_pem(document.key), "key")) == key_pem(document.key)


@pytest.mark.parametrize("data", [b"", b"canary", b"-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"])
def test_unreadable_key_is_named_and_not_quoted(data: bytes) -> None:
    with pytest.raises(UnusableIdentity, match="k\\.pem holds no unencrypted private key") as raised:
        read_key(data, "k.pem")

    assert "canary" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_encrypted_and_unknown_keys_are_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.PKCS8
    plain = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    locked = key.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"x"))

    with pytest.raises(UnusableIdentity, match="neither EC nor RSA"):
        read_key(plain, "k.pem")
    with pytest.raises(UnusableIdentity, match="no unencrypted"):
        read_key(locked, "k.pem")


def test_file_without_certificates_is_named() -> None:
    with pytest.raises(UnusableIdentity, match=r"c\.pem holds no PEM certificate"):
        read_certificates(b"nothing", "c.pem")
