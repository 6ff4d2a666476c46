"""Events are an interface: each that the server logs stands in envoy/log-events.md, with its fields, and no other."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from xds_server.problem import Problem

ROOT = Path(__file__).parent.parent
_ROW = re.compile(r"^\| `([^`]+)` \| ([a-z, ]+) \| (.*?) \| (.+) \|$", re.MULTILINE)
_LEVELS = ("debug", "info", "warning", "error", "exception")

Event = tuple[str, frozenset[str]]
"""What is said, and the fields beside it."""


def logged() -> Iterator[Event]:
    """Every event in the source."""
    for path in sorted((ROOT / "xds_server").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _logs(node.func):
                assert node.args, f"{path}:{node.lineno}: an event without a name"
                phrase = node.args[0]
                assert isinstance(phrase, ast.Constant), f"{path}:{node.lineno}: an event's name is a fixed phrase"
                yield str(phrase.value), frozenset(_fields(node))


def _logs(called: ast.expr) -> bool:
    """`log.info(...)`, or `level(...)` where which of those it is was decided before."""
    if isinstance(called, ast.Attribute):
        return isinstance(called.value, ast.Name) and called.value.id == "log" and called.attr in _LEVELS
    return isinstance(called, ast.Name) and called.id == "level"


def _fields(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg is None:  # a whole Problem, the one value that is logged field by field
            yield from (field.name for field in dataclasses.fields(Problem))
        else:
            yield keyword.arg


def documented() -> dict[str, frozenset[str]]:
    """Fields by event, as the table has them."""
    rows = _ROW.findall((ROOT / "envoy" / "log-events.md").read_text())
    assert len(rows) == len({event for event, *_ in rows}), "an event stands there twice"
    return {event: frozenset(re.findall(r"`([^`]+)`", fields)) for event, _, fields, _ in rows}


def test_table_has_every_event_with_its_fields_and_no_other() -> None:
    found: dict[str, frozenset[str]] = {}
    for event, fields in logged():
        found[event] = found.get(event, frozenset()) | fields

    assert found == documented()
