"""Ready bytes with some fields changed, without parsing the message: for what must differ from what was encoded.

Knows protobuf's wire format (protobuf.dev, "Encoding") and nothing of any particular message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from xds_server.translate.encode import length_delimited

Rewrite = Callable[[bytes], bytes | None]
"""The payload of a length-delimited field to the one that takes its place; None leaves the field out."""

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_ANY_TYPE_URL, _ANY_VALUE = 1, 2


def rewritten(body: bytes, rewrites: Mapping[int, Rewrite]) -> bytes:
    """The message in `body`, with every occurrence of the fields in `rewrites` rewritten; the rest as it is."""
    out = []
    for number, field, payload in _fields(body):
        rewrite = rewrites.get(number)
        if rewrite is None or payload is None:
            out.append(field)
        elif (now := rewrite(payload)) is not None:
            out.append(length_delimited(number, now))
    return b"".join(out)


def left_out(_: bytes) -> None:
    """The rewrite that takes a field away."""


def in_message(rewrites: Mapping[int, Rewrite]) -> Rewrite:
    """The rewrite of a field that holds a message, by the fields of that message."""
    return lambda payload: rewritten(payload, rewrites)


def in_any(rewrites: Mapping[str, Rewrite]) -> Rewrite:
    """The rewrite of a field that holds a google.protobuf.Any, by type URL; other types stay as they are."""

    def rewrite(payload: bytes) -> bytes:
        type_url = next((text for number, _, text in _fields(payload) if number == _ANY_TYPE_URL), None)
        of_value = rewrites.get((type_url or b"").decode())
        return payload if of_value is None else rewritten(payload, {_ANY_VALUE: of_value})

    return rewrite


def _fields(body: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
    """(number, whole field, payload where it is length-delimited) of each field."""
    at = 0
    while at < len(body):
        begin = at
        tag, at = _varint(body, at)
        number, wire_type = tag >> 3, tag & 7
        payload = None
        if wire_type == _LENGTH_DELIMITED:
            length, at = _varint(body, at)
            payload = body[at : at + length]
            at += length
        elif wire_type == _VARINT:
            _, at = _varint(body, at)
        else:
            at += {_FIXED64: 8, _FIXED32: 4}[wire_type]
        yield number, body[begin:at], payload


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
