"""Encoded resources back to proto-JSON, for people: `render` and the debug endpoints.

Reads the bytes that proxies get, so what it shows is what was sent. The table of each message class comes from
betterproto2's metadata; its own `parse` and `to_dict` agree, but validate at every level: 10 ms for a plain Cluster.

The form is the protobuf spec's "ProtoJSON Format" with original (snake_case) field names. Presence is the wire's: a
field that is not encoded is not shown.
"""

from __future__ import annotations

import base64
import datetime
import enum
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import betterproto2
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.google import protobuf
from envoy_data_plane.message_pool import default_message_pool

from xds_server.translate.sensitive import OFTEN_SENSITIVE_FIELDS, SENSITIVE_FIELDS
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

REDACTED = "[redacted]"
"""What Envoy itself writes in place of a secret; base64 of it in place of secret bytes."""

_MessageClass = type[betterproto2.Message]
_Raw = int | bytes
"""A field's value as the wire has it."""
_Read = Callable[[Any], Any]
"""From that to JSON."""

_CLASSES: dict[str, _MessageClass] = {
    type_url.CLUSTER: cluster_v3.Cluster,
    type_url.ENDPOINT: endpoint_v3.ClusterLoadAssignment,
    type_url.LISTENER: listener_v3.Listener,
    type_url.ROUTE: route_v3.RouteConfiguration,
    type_url.SECRET: tls_v3.Secret,
}


def resource_json(resource: Resource, *, redact: bool = True) -> dict[str, object]:
    """`resource` as proto-JSON with snake_case names and `@type` on every Any.

    `redact` puts "[redacted]" for every string and bytes below a field of `sensitive.py`.

    Raises:
        LookupError: an Any holds a type whose module was never imported; what `translate` built is always known.
    """
    return message_json(_CLASSES[resource.type_url], resource.body, redact=redact)


def message_json(cls: type[betterproto2.Message], body: bytes, *, redact: bool = True) -> dict[str, object]:
    """The message of class `cls` encoded in `body`, as `resource_json` shows it. Not for well-known types."""
    return _message(cls, body, _Secrets.REDACT if redact else _Secrets.SHOW)


class _Secrets(enum.Enum):
    """What becomes of secrets from here downwards."""

    SHOW = enum.auto()
    REDACT = enum.auto()
    HIDE = enum.auto()
    """Below a sensitive field: no string and no bytes are shown, but for names of headers."""


@dataclass(frozen=True, slots=True)
class _Field:
    """How one field is read. `zero` is what the wire would hold for a value that was left out."""

    name: str
    read: _Read
    zero: _Raw
    shape: str
    """"one", "map", "list", or the struct format or "varint" of a list that may come packed."""


def _message(cls: _MessageClass, body: bytes, secrets: _Secrets) -> dict[str, object]:
    shown: dict[str, Any] = {}
    fields = _fields(cls, secrets)
    for parsed in betterproto2.parse_fields(body):
        field = fields.get(parsed.number)
        if field is None:
            continue  # a newer schema's field has no name here
        if field.shape == "one":
            shown[field.name] = field.read(parsed.value)
        elif field.shape == "map":
            shown.setdefault(field.name, {}).update(field.read(parsed.value))
        else:
            shown.setdefault(field.name, []).extend(map(field.read, _unpacked(field.shape, parsed.value)))
    return shown


def _unpacked(shape: str, raw: Any) -> Iterator[_Raw]:
    """The values in one piece of a repeated field: many when it is packed."""
    if shape == "list" or not isinstance(raw, bytes):
        yield raw
    elif shape == "varint":
        position = 0
        while position < len(raw):
            value, position = betterproto2.decode_varint(raw, position)
            yield value
    else:
        size = struct.calcsize(shape)
        yield from (raw[start : start + size] for start in range(0, len(raw), size))


@cache
def _fields(cls: _MessageClass, secrets: _Secrets) -> dict[int, _Field]:
    """The fields of a class by number."""
    table = cls._betterproto  # type: ignore[arg-type]  # betterproto2's classproperty is typed for instances
    full_name = default_message_pool.type_to_url.get(cls, "").rpartition("/")[2]
    found = {}
    for attribute, meta in table.meta_by_field_name.items():
        name = attribute.rstrip("_")  # an underscore is put behind Python's keywords
        is_secret = secrets is _Secrets.REDACT and (full_name, name) in SENSITIVE_FIELDS | OFTEN_SENSITIVE_FIELDS
        is_name = cls is core_v3.HeaderValue and name == "key"
        held = meta.unwrap() if meta.unwrap else table.cls_by_field[attribute]
        found[meta.number] = _Field(
            name=name,
            read=_reader(meta.proto_type, held, _Secrets.HIDE if is_secret else _Secrets.SHOW if is_name else secrets),
            zero=_zero(meta.proto_type),
            shape=_shape(meta),
        )
    return found


def _shape(meta: betterproto2.FieldMetadata) -> str:
    if meta.proto_type == betterproto2.TYPE_MAP:
        return "map"
    if not meta.repeated:
        return "one"
    if meta.proto_type in _VARINT or meta.proto_type == betterproto2.TYPE_ENUM:
        return "varint"
    return _FIXED.get(meta.proto_type, "list")


def _zero(proto_type: str) -> _Raw:
    if proto_type in _FIXED:
        return bytes(struct.calcsize(_FIXED[proto_type]))
    return 0 if proto_type in _VARINT or proto_type == betterproto2.TYPE_ENUM else b""


def _reader(proto_type: str, held: type, secrets: _Secrets) -> _Read:
    """The reader of one value; `held` is the enum, message or map entry class of a field that has one."""
    is_hidden = secrets is _Secrets.HIDE
    if proto_type == betterproto2.TYPE_STRING:
        return lambda raw: REDACTED if is_hidden else raw.decode()
    if proto_type == betterproto2.TYPE_BYTES:
        return lambda raw: base64.b64encode(REDACTED.encode() if is_hidden else raw).decode()
    if proto_type == betterproto2.TYPE_MAP:
        return lambda raw: _map_entry(held, raw, secrets)
    if proto_type == betterproto2.TYPE_MESSAGE:
        return _message_reader(held, secrets)
    return _number_reader(proto_type, held)


def _number_reader(proto_type: str, held: type) -> _Read:
    if held is protobuf.NullValue:
        return lambda _raw: None
    if proto_type == betterproto2.TYPE_ENUM:
        return lambda raw: _enum_name(held, raw)
    if proto_type in _VARINT:
        return _VARINT[proto_type]
    return lambda raw: _number(proto_type, struct.unpack(_FIXED[proto_type], raw)[0])


def _message_reader(cls: _MessageClass, secrets: _Secrets) -> _Read:
    if cls in _WRAPPERS:
        return lambda raw: _by_number(cls, raw, secrets)[1]
    if cls in _WELL_KNOWN:
        return lambda raw: _WELL_KNOWN[cls](raw, secrets)
    return lambda raw: _message(cls, raw, secrets)


def _enum_name(held: Any, raw: int) -> str | int:
    """The name of a value; its number when this schema has no name for it."""
    member = held(_signed(raw))
    name: str | None = member.proto_name or member.name
    return name or int(member)


def _by_number(cls: _MessageClass, body: bytes, secrets: _Secrets) -> dict[int, Any]:
    """Every field of a small message, those that were left out included, as JSON."""
    raw = {parsed.number: parsed.value for parsed in betterproto2.parse_fields(body)}
    return {number: field.read(raw.get(number, field.zero)) for number, field in _fields(cls, secrets).items()}


def _map_entry(cls: _MessageClass, body: bytes, secrets: _Secrets) -> dict[str, Any]:
    # A key is no secret: names of headers and the like.
    shown = _Secrets.REDACT if secrets is _Secrets.HIDE else secrets
    key = _by_number(cls, body, shown)[1]
    value = _by_number(cls, body, secrets)[2]
    return {str(key).lower() if isinstance(key, bool) else str(key): value}


def _any(body: bytes, secrets: _Secrets) -> dict[str, Any]:
    packed = _by_number(protobuf.Any, body, _Secrets.SHOW)
    url, value = packed[1], base64.b64decode(packed[2])
    held = default_message_pool.url_to_type.get(url)
    if held is None:
        raise LookupError(f"no message class is known for {url!r}")
    content = _message_reader(held, secrets)(value)
    return {"@type": url, **({"value": content} if held in _WELL_KNOWN or held in _WRAPPERS else content)}


def _duration(body: bytes, _secrets: _Secrets) -> str:
    """Seconds with no fraction, or 3, 6 or 9 digits of it: "1.500s"."""
    seconds, nanos = (_signed(value) for value in _two_integers(body))
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_fraction(abs(nanos))}s"


def _timestamp(body: bytes, _secrets: _Secrets) -> str:
    seconds, nanos = (_signed(value) for value in _two_integers(body))
    whole = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}{_fraction(nanos)}Z"


def _two_integers(body: bytes) -> tuple[int, int]:
    """Fields 1 and 2 of Duration and Timestamp: seconds and nanos."""
    raw: dict[int, Any] = {parsed.number: parsed.value for parsed in betterproto2.parse_fields(body)}
    return raw.get(1, 0), raw.get(2, 0)


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    digits = f"{nanos:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}"


def _struct(body: bytes, secrets: _Secrets) -> object:
    return _message(protobuf.Struct, body, secrets).get("fields", {})


def _list_value(body: bytes, secrets: _Secrets) -> object:
    return _message(protobuf.ListValue, body, secrets).get("values", [])


def _value(body: bytes, secrets: _Secrets) -> object:
    """A google.protobuf.Value is the one value that it holds."""
    held = _message(protobuf.Value, body, secrets)
    held.pop("null_value", None)
    value = next(iter(held.values()), None)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _signed(raw: int) -> int:
    """Two's complement in 64 bits, as negative int32, int64 and enum values are sent."""
    return raw - (1 << 64) if raw >> 63 else raw


def _zigzag(raw: int) -> int:
    return (raw >> 1) ^ -(raw & 1)


def _number(proto_type: str, value: float) -> float | int | str:
    """64-bit integers are strings in proto-JSON; so are the floats that JSON cannot say."""
    if isinstance(value, int):
        return str(value) if "64" in proto_type else value
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return _shortest_float(value) if proto_type == betterproto2.TYPE_FLOAT else value


def _shortest_float(value: float) -> float:
    """The shortest decimal that means the same 32-bit float: 0.1, not 0.10000000149011612."""
    tries = (float(f"{value:.{digits}g}") for digits in range(6, 9))
    return next((t for t in tries if struct.unpack("<f", struct.pack("<f", t))[0] == value), value)


_VARINT: dict[str, _Read] = {
    betterproto2.TYPE_BOOL: bool,
    betterproto2.TYPE_INT32: _signed,
    betterproto2.TYPE_INT64: lambda raw: str(_signed(raw)),
    betterproto2.TYPE_UINT32: int,
    betterproto2.TYPE_UINT64: str,
    betterproto2.TYPE_SINT32: _zigzag,
    betterproto2.TYPE_SINT64: lambda raw: str(_zigzag(raw)),
}
_FIXED = {
    betterproto2.TYPE_FIXED32: "<I",
    betterproto2.TYPE_FIXED64: "<Q",
    betterproto2.TYPE_SFIXED32: "<i",
    betterproto2.TYPE_SFIXED64: "<q",
    betterproto2.TYPE_FLOAT: "<f",
    betterproto2.TYPE_DOUBLE: "<d",
}
_WRAPPERS: frozenset[type] = frozenset(
    {
        protobuf.BoolValue,
        protobuf.BytesValue,
        protobuf.DoubleValue,
        protobuf.FloatValue,
        protobuf.Int32Value,
        protobuf.Int64Value,
        protobuf.StringValue,
        protobuf.UInt32Value,
        protobuf.UInt64Value,
    }
)
_WELL_KNOWN: dict[type, Callable[[bytes, _Secrets], object]] = {
    protobuf.Any: _any,
    protobuf.Duration: _duration,
    protobuf.Timestamp: _timestamp,
    protobuf.Struct: _struct,
    protobuf.ListValue: _list_value,
    protobuf.Value: _value,
}
