"""Patterns of field paths, such as `http[].fault.delay`, and where a plain value has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from xds_server.policy.model import Path, istio_name

EACH = "[]"
"""Stands for every index of a list."""
_HOLDS_MORE = (dict, list)


@cache
def pattern_parts(pattern: str) -> tuple[str, ...]:
    """The keys of a pattern, from the top; "" has none, and a list's `[]` is a part of its own."""
    return tuple(pattern.replace(EACH, f".{EACH}").split(".")) if pattern else ()


@dataclass(frozen=True, slots=True)
class Inside:
    """What a plain value holds at any depth: a quick answer to whether there is anything to look for.

    Attributes:
        keys: of mappings, in Istio's spelling.
        proto_names: whether some key is in proto's spelling.
        gaps: whether some value is left empty.
    """

    keys: frozenset[str]
    proto_names: bool
    gaps: bool


def inside(value: object) -> Inside:
    """What there is inside of `value`, in one walk."""
    keys: set[str] = set()
    gaps = value is None
    waiting: list[Any] = [value] if isinstance(value, _HOLDS_MORE) else []
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            keys.update(map(str, here))
            here = here.values()
        for each in here:
            if each is None:
                gaps = True
            elif isinstance(each, _HOLDS_MORE):
                waiting.append(each)
    if "_" not in "".join(keys):
        return Inside(frozenset(keys), False, gaps)
    return Inside(frozenset(map(istio_name, keys)), True, gaps)


@cache
def snake_case(name: str) -> str:
    """Proto's own spelling of a field, which proto-JSON also allows."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def occurrences(value: object, parts: Path) -> Iterator[tuple[Path, object]]:
    """(path, value) of every part of `value` that a pattern's parts name, keys in the author's spelling."""
    if not parts:
        yield (), value
    elif parts[0] == EACH:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            yield from (((index, *path), found) for path, found in occurrences(item, parts[1:]))
    elif isinstance(value, dict) and (key := written_key(value, str(parts[0]))) is not None:
        yield from (((key, *path), found) for path, found in occurrences(value[key], parts[1:]))


def written_key(value: Mapping[object, object], name: str) -> str | None:
    """The key under which a field stands: Istio's name, proto's own, or None."""
    if name in value:
        return name
    return snake if (snake := snake_case(name)) in value else None


def value_at(value: object, path: Path) -> object:
    """The part of a plain value at a path; None where there is none."""
    for part in path:
        if isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif isinstance(value, dict) and (key := written_key(value, str(part))) is not None:
            value = value[key]
        else:
            return None
    return value
