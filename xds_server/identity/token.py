"""Signed tokens for nodes that cannot use client certificates: JWTs (RFC 7519) with ES256 and no options.

The one algorithm, type and audience are fixed, so there is nothing for a forger to choose. The key is that of the node
authority, whose certificate the control plane has anyway.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from xds_server.errors import UnusableIdentity
from xds_server.identity.principal import Principal, Proof

_HEADER = {"alg": "ES256", "typ": "xds-node+jwt"}
_HALF = 32
"""Bytes of each of the two numbers in a signature (RFC 7518, section 3.4)."""
_LONGEST = 8192


def sign_token(
    key: ec.EllipticCurvePrivateKey, principal: Principal, audience: str, now: datetime, lifetime: timedelta
) -> str:
    """A token that says who a node is, for `audience` only, from `now` (aware) on. The key must be on P-256."""
    claims = {
        "sub": str(principal),
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int((now + lifetime).timestamp()),
    }
    signed = f"{_encoded(_json(_HEADER))}.{_encoded(_json(claims))}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_encoded(r.to_bytes(_HALF) + s.to_bytes(_HALF))}"


def verified_token(text: str, key: ec.EllipticCurvePublicKey, audience: str, now: datetime) -> Proof:
    """What a token proves.

    Raises:
        UnusableIdentity: it is no token of ours, is for somebody else, or is out of its time; quotes nothing of it.
    """
    header, _, rest = text.partition(".")
    claims, _, signature = rest.partition(".")
    if len(text) > _LONGEST or header != _encoded(_json(_HEADER)):
        raise UnusableIdentity("the token is none of this control plane's")
    _check_signature(f"{header}.{claims}", signature, key)
    try:
        found = json.loads(_decoded(claims))
        proof = Proof(Principal.parse(found["sub"]), _time(found["iat"]), _time(found["exp"]))
        meant_for = found["aud"]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        raise UnusableIdentity("the token lacks a claim, or one cannot be read") from None
    if meant_for != audience:
        raise UnusableIdentity("the token is for another control plane")
    if proof.expires <= now:
        raise UnusableIdentity(f"the token expired on {proof.expires:%Y-%m-%d %H:%M:%S} UTC")
    return proof


def _check_signature(signed: str, signature: str, key: ec.EllipticCurvePublicKey) -> None:
    try:
        raw = _decoded(signature)
        if len(raw) != 2 * _HALF:
            raise UnusableIdentity("the token's signature is wrong")
        der = encode_dss_signature(int.from_bytes(raw[:_HALF]), int.from_bytes(raw[_HALF:]))
        key.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise UnusableIdentity("the token's signature is wrong") from None


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise ValueError("not base64url") from None


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
