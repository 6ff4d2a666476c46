"""Our encoder against the protobuf runtime's deterministic serialisation, for any value of any field.

`bytes(message)` of betterproto2 would be no judge: it neither sorts maps nor keeps the order of field numbers.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import betterproto2
import pytest
from betterproto2 import FieldMetadata
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message as RuntimeMessage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xds_server.translate.encode import encode, type_url_of

MessageClass = type[betterproto2.Message]
TRANSLATE = Path(__file__).parents[2] / "xds_server" / "translate"
DEPTH = 3
"""How deep messages are nested; below it only scalars are set."""


def used_classes() -> list[MessageClass]:
    """Every message class that some module of translate names, by what it imports as `..._v3` or `protobuf`."""
    found = {cls for path in TRANSLATE.glob("*.py") for cls in _named_in(ast.parse(path.read_text()))}
    return sorted(found, key=type_url_of)


def _named_in(tree: ast.Module) -> Iterator[MessageClass]:
    modules = {
        alias.asname or alias.name: importlib.import_module(f"{node.module}.{alias.name}")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("envoy_data_plane.")
        for alias in node.names
        if alias.name in {"v3", "protobuf"}
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found = getattr(modules[node.value.id], node.attr)
            if isinstance(found, type) and issubclass(found, betterproto2.Message):
                yield found


@cache
def runtime_class(cls: MessageClass) -> type[RuntimeMessage]:
    """The same message in the protobuf runtime, out of the xds-protos package."""
    package = importlib.import_module(cls.__module__.removeprefix("envoy_data_plane."))
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_pb2"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    name = type_url_of(cls).partition("/")[2]
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


@cache
def metadata_of(cls: MessageClass) -> dict[str, FieldMetadata]:
    return {field.name: FieldMetadata.get(field) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]  # it is


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "sint32": st.integers(-(2**31), 2**31 - 1),
    "sfixed32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "sint64": st.integers(-(2**63), 2**63 - 1),
    "sfixed64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "fixed32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "fixed64": st.integers(0, 2**64 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": st.text(max_size=200),
    "bytes": st.binary(max_size=200),
}
MAP_KEYS = st.text(min_size=2, max_size=2)
"""No key the start of another: the runtime in Python writes the longer first, those in Go and C++ the shorter."""
DURATIONS = st.timedeltas(timedelta(days=-3652500), timedelta(days=3652500))
TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda time: time.replace(tzinfo=UTC))  # noqa: DTZ001 - hypothesis wants naive limits


def singles(meta: FieldMetadata, cls: Any, depth: int) -> st.SearchStrategy[Any]:
    """One value of a field, or one item of a list."""
    if meta.proto_type == "enum":
        return st.sampled_from(list(cls))
    if meta.proto_type != "message":
        return SCALARS[meta.proto_type]
    if meta.unwrap is None:
        return messages(cls, depth - 1)
    name = meta.unwrap().__name__
    if name in {"Duration", "Timestamp"}:
        return DURATIONS if name == "Duration" else TIMES
    return SCALARS[metadata_of(meta.unwrap())["value"].proto_type]


@st.composite
def messages(draw: st.DrawFn, cls: MessageClass, depth: int = DEPTH) -> betterproto2.Message:
    """Any message of a class: some of its fields set, defaults included; of a oneof at most one."""
    known = runtime_class(cls).DESCRIPTOR.fields_by_number  # xds-protos lacks a few fields that are new
    metadata = {name: meta for name, meta in metadata_of(cls).items() if meta.number in known and name != "self"}
    usable = [name for name, meta in metadata.items() if depth > 0 or meta.proto_type in {*SCALARS, "enum"}]
    chosen = draw(st.lists(st.sampled_from(usable), max_size=4, unique=True)) if usable else []
    one_of_each = {metadata[name].group or name: name for name in chosen}
    return cls(**{name: draw(_values(cls, name, metadata[name], depth)) for name in one_of_each.values()})


def _values(cls: MessageClass, name: str, meta: FieldMetadata, depth: int) -> st.SearchStrategy[Any]:
    classes = cls._betterproto.cls_by_field  # type: ignore[arg-type]  # betterproto2 types its property for instances
    if meta.map_meta:
        key, value = meta.map_meta
        items = singles(value, classes.get(f"{name}.value"), depth)
        keys = MAP_KEYS if key.proto_type == "string" else SCALARS[key.proto_type]
        return st.dictionaries(keys, items, max_size=4)
    values = singles(meta, classes[name], depth)
    return st.lists(values, max_size=4) if meta.repeated else values


def rebuilt(source: betterproto2.Message, target: RuntimeMessage) -> RuntimeMessage:
    """`target`, filled with what `source` holds, field by field through the runtime's own interface."""
    for name, meta in metadata_of(type(source)).items():
        value = getattr(source, name)
        if value is not None:
            _set(target, target.DESCRIPTOR.fields_by_number.get(meta.number), meta, value)
    return target


def _set(target: Any, field: Any, meta: FieldMetadata, value: Any) -> None:
    if meta.map_meta:
        for key, item in value.items():
            if meta.map_meta[1].proto_type == "message":
                _fill(getattr(target, field.name)[key], meta.map_meta[1], item)
            else:
                getattr(target, field.name)[key] = item
    elif meta.repeated:
        for item in value:
            if meta.proto_type == "message":
                _fill(getattr(target, field.name).add(), meta, item)
            else:
                getattr(target, field.name).append(item)
    elif meta.proto_type == "message":
        getattr(target, field.name).SetInParent()
        _fill(getattr(target, field.name), meta, value)
    elif field is not None:
        setattr(target, field.name, value)


def _fill(target: Any, meta: FieldMetadata, value: Any) -> None:
    if isinstance(value, timedelta):
        target.FromTimedelta(value)
    elif isinstance(value, datetime):
        target.FromDatetime(value)
    elif meta.unwrap:
        target.value = value
    else:
        rebuilt(value, target)


def agrees(message: betterproto2.Message) -> None:
    expected = rebuilt(message, runtime_class(type(message))()).SerializeToString(deterministic=True)

    assert encode(message) == expected


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # deprecated fields are fields too
@pytest.mark.parametrize("cls", used_classes(), ids=lambda cls: cls.__name__)
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_message_class_in_use_is_encoded_as_the_runtime_does(cls: MessageClass, data: st.DataObject) -> None:
    """Byte for byte, so that versions, which are hashes of bytes, never differ between equal messages."""
    agrees(data.draw(messages(cls)))
