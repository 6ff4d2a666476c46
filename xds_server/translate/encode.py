"""Message to bytes: the deterministic encoder that everything sent to Envoy goes through.

`bytes(message)` of betterproto2 validates again at every level and takes a hundred times as long. Here each message
class is compiled once, from betterproto2's own field metadata, into a list of writers in order of field number.
Maps are sorted by key, so equal messages have equal bytes: the same that the protobuf runtime's deterministic
serialisation gives. Knows protobuf's wire format (protobuf.dev, "Encoding"); knows nothing of any particular message.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import betterproto2
from betterproto2 import FieldMetadata
from envoy_data_plane.google import protobuf
from envoy_data_plane.message_pool import default_message_pool

from xds_server.translate.message_checks import check_quickly

Parameters = ParamSpec("Parameters")
MessageT = TypeVar("MessageT", bound=betterproto2.Message)
Add = Callable[[bytes], None]
Write = Callable[[Any, Add], None]
"""Writes one present field, tag and all, piece by piece."""
Scalar = Callable[[Any], bytes]
"""A scalar's bytes behind its tag, the length prefix of strings and bytes included."""

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REMEMBERED = 256
"""Messages kept of each function that makes shared ones."""
_READY = "_ready_bytes"
"""Where a shared message has its bytes: no field's name begins so."""

check_quickly()


class _Field(NamedTuple):
    name: str
    always: bool
    """Write whatever is not None: the field has presence, or its writer looks for itself."""
    write: Write


def encode(message: betterproto2.Message) -> bytes:
    """The bytes of `message`; equal messages give equal bytes on every run and machine.

    The message is taken as it was validated when it was made. Fields that a parsed message did not know are not
    written.
    """
    fields = message.__dict__
    ready: bytes | None = fields.get(_READY)
    if ready is not None:
        return ready
    out: list[bytes] = []
    add = out.append
    for name, always, write in _plan(type(message)):
        value = fields[name]
        if value is not None and (always or value):
            write(value, add)
    return b"".join(out)


def shared(make: Callable[Parameters, MessageT]) -> Callable[Parameters, MessageT]:
    """`make`, for what many messages hold: one read-only message for all equal inputs, encoded once."""

    @wraps(make)
    def made(*inputs: Parameters.args, **named: Parameters.kwargs) -> MessageT:
        message = make(*inputs, **named)
        message.__dict__[_READY] = encode(message)
        return message

    return cast("Callable[Parameters, MessageT]", lru_cache(maxsize=_REMEMBERED)(made))


def any_of(message: betterproto2.Message) -> protobuf.Any:
    """`message` packed for a `typed_config` field: its bytes come from `encode`, as everything else's."""
    return protobuf.Any(type_url=type_url_of(type(message)), value=encode(message))


def type_url_of(message_class: type[betterproto2.Message]) -> str:
    """The type URL of a message class, such as "type.googleapis.com/envoy.config.cluster.v3.Cluster"."""
    return default_message_pool.type_to_url[message_class]


def length_delimited(number: int, payload: bytes) -> bytes:
    """One occurrence of field `number` holding ready bytes: a string, bytes or an encoded message."""
    return b"".join((_tag(number, _LENGTH_DELIMITED), _varint(len(payload)), payload))


@cache
def _plan(message_class: type[Any]) -> tuple[_Field, ...]:
    metadata = {field.name: FieldMetadata.get(field) for field in dataclasses.fields(message_class)}
    return tuple(_field(name, metadata[name]) for name in sorted(metadata, key=lambda name: metadata[name].number))


def _field(name: str, meta: FieldMetadata) -> _Field:
    if meta.proto_type == "map":
        return _Field(name, always=False, write=_map_writer(meta))
    if meta.repeated:
        return _Field(name, always=False, write=_repeated_writer(meta))
    if meta.optional or meta.group:
        return _Field(name, always=True, write=_writer(meta))
    if meta.proto_type in {"float", "double"}:
        return _Field(name, always=True, write=_unless_positive_zero(meta))
    return _Field(name, always=False, write=_writer(meta))


def _writer(meta: FieldMetadata) -> Write:
    """Writes a single value, or one item of a list or map."""
    if meta.proto_type != "message":
        return _scalar_writer(meta)
    tag = _tag(meta.number, _LENGTH_DELIMITED)
    body = _well_known(meta.unwrap()) if meta.unwrap else encode

    def write(value: Any, add: Add) -> None:
        payload = body(value)
        add(tag)
        add(_varint(len(payload)))
        add(payload)

    return write


def _scalar_writer(meta: FieldMetadata) -> Write:
    wire_type, scalar = _SCALARS[meta.proto_type]
    tag = _tag(meta.number, wire_type)

    def write(value: Any, add: Add) -> None:
        add(tag)
        add(scalar(value))

    return write


def _unless_positive_zero(meta: FieldMetadata) -> Write:
    """Without presence, +0.0 is the default and -0.0 is not, though Python finds them equal."""
    _, scalar = _SCALARS[meta.proto_type]
    write_any = _scalar_writer(meta)
    zero = scalar(0.0)

    def write(value: Any, add: Add) -> None:
        if value or scalar(value) != zero:
            write_any(value, add)

    return write


def _repeated_writer(meta: FieldMetadata) -> Write:
    if meta.proto_type in _PACKED:
        return _packed_writer(meta)
    write_item = _writer(meta)

    def write(items: Any, add: Add) -> None:
        for item in items:
            write_item(item, add)

    return write


def _packed_writer(meta: FieldMetadata) -> Write:
    tag = _tag(meta.number, _LENGTH_DELIMITED)
    _, scalar = _SCALARS[meta.proto_type]

    def write(items: Any, add: Add) -> None:
        payload = b"".join(map(scalar, items))
        add(tag)
        add(_varint(len(payload)))
        add(payload)

    return write


def _map_writer(meta: FieldMetadata) -> Write:
    """Each entry is a message of key (1) and value (2), both always written; sorted by key."""
    assert meta.map_meta is not None  # noqa: S101 - betterproto2 gives every map field its map_meta
    key_meta, value_meta = meta.map_meta
    tag = _tag(meta.number, _LENGTH_DELIMITED)
    write_key, write_value = _writer(key_meta), _writer(value_meta)

    def write(entries: Any, add: Add) -> None:
        for key in sorted(entries):
            entry: list[bytes] = []
            write_key(key, entry.append)
            write_value(entries[key], entry.append)
            payload = b"".join(entry)
            add(tag)
            add(_varint(len(payload)))
            add(payload)

    return write


def _well_known(wrapper: type[betterproto2.Message]) -> Callable[[Any], bytes]:
    """The body of a message that betterproto2 shows as a plain Python value."""
    if wrapper is protobuf.Duration:
        return _duration
    if wrapper is protobuf.Timestamp:
        return _timestamp
    (field,) = _plan(wrapper)

    def wrapped(value: Any) -> bytes:
        out: list[bytes] = []
        if field.always or value:
            field.write(value, out.append)
        return b"".join(out)

    return wrapped


def _duration(value: timedelta) -> bytes:
    """google.protobuf.Duration: seconds and nanos have one sign."""
    sign = -1 if value < timedelta() else 1
    seconds, micros = divmod(abs(value) // _MICROSECOND, 1_000_000)
    return _seconds_and_nanos(sign * seconds, sign * micros * 1000)


def _timestamp(value: datetime) -> bytes:
    """google.protobuf.Timestamp: nanos always count forward."""
    seconds, micros = divmod((value - _EPOCH) // _MICROSECOND, 1_000_000)
    return _seconds_and_nanos(seconds, micros * 1000)


def _seconds_and_nanos(seconds: int, nanos: int) -> bytes:
    return (b"\x08" + _varint(seconds) if seconds else b"") + (b"\x10" + _varint(nanos) if nanos else b"")


_SMALL_VARINTS = tuple(bytes((number,)) for number in range(128))


def _varint(number: int) -> bytes:
    """Negative numbers take ten bytes, as int32 and int64 do."""
    if 0 <= number < 128:
        return _SMALL_VARINTS[number]
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _zigzag(number: int) -> bytes:
    return _varint(number * 2 if number >= 0 else -number * 2 - 1)


def _bytes(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _string(value: str) -> bytes:
    return _bytes(value.encode())


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


_SCALARS: dict[str, tuple[int, Scalar]] = {
    "bool": (_VARINT, _varint),
    "enum": (_VARINT, _varint),
    "int32": (_VARINT, _varint),
    "int64": (_VARINT, _varint),
    "uint32": (_VARINT, _varint),
    "uint64": (_VARINT, _varint),
    "sint32": (_VARINT, _zigzag),
    "sint64": (_VARINT, _zigzag),
    "fixed32": (_FIXED32, struct.Struct("<I").pack),
    "sfixed32": (_FIXED32, struct.Struct("<i").pack),
    "float": (_FIXED32, struct.Struct("<f").pack),
    "fixed64": (_FIXED64, struct.Struct("<Q").pack),
    "sfixed64": (_FIXED64, struct.Struct("<q").pack),
    "double": (_FIXED64, struct.Struct("<d").pack),
    "string": (_LENGTH_DELIMITED, _string),
    "bytes": (_LENGTH_DELIMITED, _bytes),
}
"""Wire type and encoding by proto type."""
_PACKED = frozenset(_SCALARS) - {"string", "bytes"}
"""Repeated scalars share one tag (proto3's default)."""
