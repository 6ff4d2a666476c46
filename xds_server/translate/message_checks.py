"""How a message that is being made checks its fields: the checks of betterproto2, at a fraction of their cost.

When a message is made, betterproto2 compares each of its deprecated fields with that field's default, and looks for
two fields of one oneof. To get at a default it enters `warnings.catch_warnings`, lest making one should warn: that
costs as much as all other checks of a Cluster together, and it swaps filters that all threads share, in the worker
thread. There is nothing to silence: a default is None, a zero, or an empty list or map, and none of these warns.
What a oneof consists of it finds out anew for each message. Here both are asked once for each class of messages.

A deprecated field that is set warns as ever, and two fields of one oneof are refused as ever, in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import betterproto2


def check_quickly() -> None:
    """Take effect, for all messages of this process; more than once is as good as once."""
    betterproto2.Message._get_field_default = _default  # type: ignore[method-assign]  # noqa: SLF001 - nobody else can
    betterproto2.Message._validate_field_groups = classmethod(_one_of_each_group)  # type: ignore[assignment,method-assign]  # noqa: SLF001 - the same


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
    return dict(message_class._betterproto.default_gen)  # noqa: SLF001 - what betterproto2 itself asks


@cache
def _groups(message_class: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The oneofs that can be violated; a group of one field is how proto3 writes `optional`."""
    groups = message_class._betterproto.oneof_field_by_group  # noqa: SLF001 - what betterproto2 itself asks
    return tuple(
        (group, tuple(sorted(field.name for field in fields))) for group, fields in groups.items() if len(fields) > 1
    )
