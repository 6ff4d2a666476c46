"""Tokens: what they prove, and that nothing else does."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from tests.identity.material import NOW, WEB
from xds_server.errors import UnusableIdentity
from xds_server.identity.principal import Principal
from xds_server.identity.token import sign_token, verified_token

KEY = ec.generate_private_key(ec.SECP256R1())
NODE = Principal(WEB, "web-1")
HOUR = timedelta(hours=1)
TOKEN = sign_token(KEY, NODE, "here", NOW, HOUR)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header: object, claims: object) -> str:
    """A token with our own signature over whatever is asked for."""
    signed = f"{encoded(json.dumps(header, separators=(',', ':')).encode())}.{encoded(json.dumps(claims).encode())}"
    r, s = decode_dss_signature(KEY.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{encoded(r.to_bytes(32) + s.to_bytes(32))}"


def test_token_proves_who_a_node_is() -> None:
    proof = verified_token(TOKEN, KEY.public_key(), "here", NOW)

    assert (proof.principal, proof.issued, proof.expires) == (NODE, NOW, NOW + HOUR)


@pytest.mark.parametrize(
    ("audience", "later", "why"), [("there", timedelta(), "another control plane"), ("here", HOUR, "expired on")]
)
def test_token_is_for_one_audience_and_one_time(audience: str, later: timedelta, why: str) -> None:
    with pytest.raises(UnusableIdentity, match=why):
        verified_token(TOKEN, KEY.public_key(), audience, NOW + later)


def test_token_of_another_key_is_refused() -> None:
    with pytest.raises(UnusableIdentity, match="signature"):
        verified_token(TOKEN, ec.generate_private_key(ec.SECP256R1()).public_key(), "here", NOW)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "xds-node+jwt"},
        {"alg": "HS256", "typ": "xds-node+jwt"},
        {"alg": "ES256", "typ": "JWT"},
        {"alg": "ES256", "typ": "xds-node+jwt", "kid": "1"},
    ],
    ids=str,
)
def test_algorithm_and_type_are_not_the_bearers_to_choose(header: dict[str, str]) -> None:
    claims = {"sub": str(NODE), "aud": "here", "iat": 0, "exp": 1e11}

    with pytest.raises(UnusableIdentity, match="none of this"):
        verified_token(forged(header, claims), KEY.public_key(), "here", NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        [],
        {"sub": str(NODE), "aud": "here", "iat": 0},
        {"sub": str(WEB), "aud": "here", "iat": 0, "exp": 1e10},
        {"sub": 1, "aud": "here", "iat": 0, "exp": 1e10},
        {"sub": str(NODE), "aud": "here", "iat": "x", "exp": 1e10},
        {"sub": str(NODE), "aud": "here", "iat": 0, "exp": 1e300},
    ],
    ids=str,
)
def test_claims_that_are_not_ours_are_refused(claims: object) -> None:
    with pytest.raises(UnusableIdentity, match="claim"):
        verified_token(forged({"alg": "ES256", "typ": "xds-node+jwt"}, claims), KEY.public_key(), "here", NOW)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
def test_no_character_can_be_changed(index: int, character: str) -> None:
    changed = TOKEN[:index] + character + TOKEN[index + 1 :]
    if changed == TOKEN or index == len(TOKEN) - 1:
        return  # the last character of base64url has bits that mean nothing

    with pytest.raises(UnusableIdentity):
        verified_token(changed, KEY.public_key(), "here", NOW)


@given(st.text(max_size=300))
def test_no_other_text_is_a_token(text: str) -> None:
    with pytest.raises(UnusableIdentity) as refused:
        verified_token(text, KEY.public_key(), "here", NOW)

    assert len(text) < 8 or text not in str(refused.value)
