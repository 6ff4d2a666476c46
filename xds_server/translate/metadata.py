"""Plain values as google.protobuf.Struct, the form of every `filter_metadata`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from envoy_data_plane.google import protobuf

from xds_server.translate.encode import shared

Plain: TypeAlias = "str | bool | float | Mapping[str, Plain] | Sequence[Plain] | None"


def struct(values: Mapping[str, Plain]) -> protobuf.Struct:
    """A Struct with those fields."""
    return protobuf.Struct(fields={key: _value(value) for key, value in values.items()})


def _value(plain: Plain) -> protobuf.Value:
    if isinstance(plain, bool):
        return protobuf.Value(bool_value=plain)
    if isinstance(plain, str):
        return _text(plain)
    if isinstance(plain, int | float):
        return protobuf.Value(number_value=plain)
    if plain is None:
        return protobuf.Value(null_value=protobuf.NullValue.NULL_VALUE)
    if isinstance(plain, Mapping):
        return protobuf.Value(struct_value=struct(plain))
    return protobuf.Value(list_value=protobuf.ListValue(values=[_value(item) for item in plain]))


@shared
def _text(text: str) -> protobuf.Value:
    """Most texts are said of many things: a namespace, "istio"; or of one thing twice: its host name."""
    return protobuf.Value(string_value=text)
