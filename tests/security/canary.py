"""Secrets that are looked for where they must not be: in every form in which bytes are written, and in pieces."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_BETWEEN = re.compile(rb"\\[nrt]|\\x|0x|[\s:,\"']")
"""What stands between the parts of a text that was wrapped, escaped or laid out."""
_PIECE, _RAW_PIECE = 12, 8
"""Characters, or bytes as they are, of which one piece gives a secret away: about nine of its bytes."""


@dataclass(frozen=True)
class Canary:
    """A secret with a name.

    Attributes:
        secrets: the numbers that nobody else may know, each of which gives all away; of a private key only those that
            are not in its certificate too.
    """

    name: str
    secrets: tuple[bytes, ...]

    @classmethod
    def of_key(cls, name: str, path: Path) -> Canary:
        """The private key in a PEM file."""
        key = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
        own = key.private_numbers()
        numbers = (own.private_value,) if isinstance(own, ec.EllipticCurvePrivateNumbers) else (own.d, own.p, own.q)
        return cls(name, tuple(number.to_bytes((number.bit_length() + 7) // 8) for number in numbers))

    @cached_property
    def pieces(self) -> frozenset[bytes]:
        """One of them is in every text that has three pieces' worth of the secret in a row, in any usual form."""
        texts = (text for secret in self.secrets for form in _forms(secret) for text in _cut(form, _PIECE))
        return frozenset(piece for secret in self.secrets for piece in _cut(secret, _RAW_PIECE)) | frozenset(texts)

    def is_in(self, text: bytes) -> bool:
        """Whether any of it is there."""
        bare = _BETWEEN.sub(b"", text)
        return any(piece in text or piece in bare for piece in self.pieces)


def found(canaries: Iterable[Canary], places: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """(canary, place) of every secret that stands where it must not."""
    return [(one.name, place) for one in canaries for place, text in places.items() if one.is_in(text)]


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield str(int.from_bytes(secret)).encode()
    yield repr(secret)[2:-1].encode()
    yield json.dumps(secret.decode("latin-1"))[1:-1].encode()
    for once in _in_base64(secret):
        yield once
        yield once.translate(bytes.maketrans(b"+/", b"-_"))
        yield from _in_base64(once)


def _in_base64(data: bytes) -> Iterator[bytes]:
    """What base64 of anything around `data` makes of it, wherever in a group of three it begins."""
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + data)
        yield encoded[4 if shift else 0 : -4]


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data) - size + 1, size)]
