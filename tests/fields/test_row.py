"""The words of the tables are true: each names a field of Envoy's that translation writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import xds_server.translate
from xds_server.fields.row import BLOCK, State
from xds_server.fields.table import ROWS, TABLED, every_field, models, row
from xds_server.policy.not_applied import NOT_APPLIED

TRANSLATE = Path(xds_server.translate.__file__).parent


def names_of_messages(tree: ast.Module) -> dict[str, str]:
    """Short names of message classes, and of tables of them, as a module gives them to itself."""
    return {
        statement.targets[0].id: statement.value.attr
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Attribute)
        and isinstance(statement.targets[0], ast.Name)
    }


def written(path: Path) -> Iterator[str]:
    """`Message.field` for each field that a module gives a message, in small letters."""
    tree = ast.parse(path.read_text())
    short = names_of_messages(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.keywords:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            message = short.get(called, called)
            yield from (f"{message}.{keyword.arg}".lower() for keyword in node.keywords)


WRITTEN = {name for path in TRANSLATE.glob("*.py") for name in written(path)}
CLAIMED = sorted({name for rows in ROWS.values() for each in rows.values() for name in each.envoy})


@pytest.mark.parametrize("name", CLAIMED)
def test_what_a_row_names_is_written_by_translation(name: str) -> None:
    message, _, field = name.rpartition(".")

    assert f"{message.replace('.', '')}.{field}".lower() in WRITTEN


@pytest.mark.parametrize("kind", TABLED)
def test_every_field_of_every_model_has_a_row_and_no_row_is_of_a_field_that_is_not_there(kind: str) -> None:
    for model in models(kind):
        fields = {str(field.alias) for field in model.model_fields.values()}
        rows = set().union(*(ROWS.get(each, {}) for each in model.__mro__))

        assert fields == rows, model.__name__


def is_within(path: str, field: str) -> bool:
    """Whether a path is that of a field, or below it or its items."""
    return f"{path}.".startswith(tuple(f"{field}{items}." for items in ("", "[]", "{}")))


def test_a_field_is_said_to_be_without_effect_exactly_where_its_author_is_told() -> None:
    told = {(each.kind, field): each.because for each in NOT_APPLIED for field in each.fields}
    for kind in TABLED:
        for path, found in every_field(kind):
            because = [told[key] for key in told if key[0] == kind and is_within(path, key[1])]
            if found.state is State.WITHOUT_EFFECT:
                assert because == [found.words], path


def test_what_is_said_to_be_applied_is_not_told_to_be_otherwise() -> None:
    states = {(kind, path): found for kind in TABLED for path, found in every_field(kind)}
    told = {(each.kind, field) for each in NOT_APPLIED for field in each.fields}

    assert {key for key in told if states[key] != BLOCK and states[key].state is State.APPLIED} == set()


def test_a_model_that_derives_from_another_has_its_rows() -> None:
    from xds_server.policy.workload_group import WorkloadTemplate

    assert row(WorkloadTemplate, "address").envoy == ("Endpoint.address",)
