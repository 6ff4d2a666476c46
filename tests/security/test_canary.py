"""The search itself: it finds a key in whatever form it leaks, and no key where there is none."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.security.canary import Canary
from xds_server.identity.authority import key_pem, new_key
from xds_server.mesh.identity import KeyKind


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _old_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _half(key: ec.EllipticCurvePrivateKey) -> bytes:
    return _der(key)[36 : 36 + 16]


FORMS: dict[str, Callable[[ec.EllipticCurvePrivateKey], bytes]] = {
    "pem": key_pem,
    "pem of old": _old_pem,
    "pem in json": lambda key: json.dumps(key_pem(key).decode()).encode(),
    "pem in a repr": lambda key: repr(key_pem(key)).encode(),
    "pem in base64": lambda key: b"ab" + base64.b64encode(b"x" + key_pem(key)),
    "der": _der,
    "der in base64, wrapped": lambda key: base64.encodebytes(_der(key)),
    "der in base64 for addresses": lambda key: base64.urlsafe_b64encode(_der(key)),
    "der in a repr": lambda key: repr(_der(key)).encode(),
    "hex with colons": lambda key: _der(key).hex(":").upper().encode(),
    "number": lambda key: str(key.private_numbers().private_value).encode(),
    "half of it, raw": _half,
    "half of it, in base64": lambda key: base64.b64encode(b"1" + _half(key) + b"2"),
}


@pytest.mark.parametrize("form", FORMS)
def test_key_is_found_in_every_form(form: str, tmp_path: Path) -> None:
    key, other = new_key(), new_key()
    (tmp_path / "key.pem").write_bytes(key_pem(key))
    canary = Canary.of_key("key", tmp_path / "key.pem")

    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(other, ec.EllipticCurvePrivateKey)
    assert canary.is_in(b"before " + FORMS[form](key) + b" after")
    assert not canary.is_in(b"before " + FORMS[form](other) + b" after")


@pytest.mark.parametrize("part", ["d", "p", "q"])
def test_each_number_of_an_rsa_key_is_found(part: str, tmp_path: Path) -> None:
    """Who knows one of its primes knows all of it."""
    key, other = new_key(KeyKind.RSA_2048), new_key(KeyKind.RSA_2048)
    (tmp_path / "key.pem").write_bytes(key_pem(key))
    canary = Canary.of_key("key", tmp_path / "key.pem")

    assert isinstance(key, rsa.RSAPrivateKey)
    assert canary.is_in(str(getattr(key.private_numbers(), part)).encode())
    assert canary.is_in(key_pem(key))
    assert not canary.is_in(key_pem(other))
