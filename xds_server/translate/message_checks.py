"""How a message that is being made checks its fields: the checks of betterproto2, at a fraction of their cost.

When a message is made, betterproto2 compares each of its deprecated fields with that field's default, and looks for
two fields of one oneof. To get at a default it enters `warnings.catch_warnings`, lest making one should warn: that
costs as much as all other checks of a Cluster together, and it swaps filters that all threads share, in the worker
thread. There is nothing to silence: a default is None, a zero, or an empty list or map, and none of these warns.
What a oneof consists of it finds out anew for each message. Here both are asked once for each class of messages, and
of the fields themselves: betterproto2's own table of a class (`_betterproto`) needs the type hints of all fields, and
evaluates all of them for each one. Who parses messages or shows them as JSON needs that table: there they are evaluated
once.

A deprecated field that is set warns as ever, and two fields of one oneof are refused as ever, in the same words.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_type_hints

import betterproto2
from betterproto2 import FieldMetadata


def check_quickly() -> None:
    """Take effect, for all messages of this process; more than once is as good as once."""
    betterproto2.Message._type_hints = classmethod(_type_hints)  # type: ignore[arg-type,assignment,method-assign]  # noqa: SLF001 - nobody else can
    betterproto2.Message._get_field_default = _default  # type: ignore[method-assign]  # noqa: SLF001 - the same
    betterproto2.Message._validate_field_groups = classmethod(_one_of_each_group)  # type: ignore[assignment,method-assign]  # noqa: SLF001 - the same


@cache
def _type_hints(message_class: Any) -> Mapping[str, Any]:
    return get_type_hints(message_class, vars(sys.modules[message_class.__module__]), {})


def _default(self: betterproto2.Message, field_name: str) -> Any:
    return _defaults(type(self))[field_name]()


def _one_of_each_group(cls: Any, message: Any) -> Any:
    fields = message.__dict__
    for group, names in _groups(cls):
        found = [name for name in names if fields.get(name) is not None]
        if len(found) > 1:
            raise ValueError(f"Group {group} has more than one value; fields {', '.join(found)} are not None")
    return message


@cache
def _defaults(message_class: Any) -> Mapping[str, Callable[[], Any]]:
    return {field.name: field.default_factory for field in dataclasses.fields(message_class)}  # type: ignore[misc]  # each has one: see betterproto2.field


@cache
def _groups(message_class: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The oneofs that can be violated; a group of one field is how proto3 writes `optional`."""
    found: dict[str, list[str]] = {}
    for field in dataclasses.fields(message_class):
        if group := FieldMetadata.get(field).group:
            found.setdefault(group, []).append(field.name)
    return tuple((group, tuple(sorted(names))) for group, names in found.items() if len(names) > 1)
