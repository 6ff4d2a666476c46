"""Mappings that are told what changed, and say what changes with it."""

from __future__ import annotations

from tests.builders import document
from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.table import Index, Table, in_order

PROBLEM = Place(
    document("""
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {name: reviews}
    spec: {hosts: [reviews]}
    """)
).note("some-code", "something to know")


def test_only_rows_that_are_named_are_made_again() -> None:
    table: Table[str, int] = Table()
    rows = {"a": Outcome(1), "b": Outcome(2)}
    table.remake(rows, rows.get)
    rows["a"], rows["b"] = Outcome(10), Outcome(20)
    table.remake(["a"], rows.get)

    assert (table.get("a"), table.get("b")) == (10, 2)


def test_row_that_is_the_same_object_has_not_changed() -> None:
    table: Table[str, int] = Table()
    rows = {"a": Outcome(1)}

    assert table.remake("a", rows.get) == {"a"}
    assert table.remake("a", rows.get) == set()


def test_row_that_is_not_made_is_dropped() -> None:
    table: Table[str, int] = Table()
    table.remake("a", {"a": Outcome(1, (PROBLEM,))}.get)

    assert table.remake("a", lambda _: None) == {"a"}
    assert table.get("a") is None
    assert list(table.all_problems) == []


def test_problems_are_those_of_the_rows_that_are_there() -> None:
    table: Table[str, int] = Table()
    table.remake("ab", {"a": Outcome(1, (PROBLEM,)), "b": Outcome(2)}.get)

    assert list(table.all_problems) == [PROBLEM]


def test_values_are_in_order_of_keys_whatever_came_or_went() -> None:
    table: Table[str, int] = Table()
    rows = {"b": Outcome(2), "a": Outcome(1)}
    first = in_order({}, table, table.remake(rows, rows.get))
    rows["b"] = Outcome(20)
    second = in_order(first, table, table.remake("b", rows.get))
    third = in_order(second, table, table.remake("ac", {"c": Outcome(3)}.get))

    assert list(first.items()) == [("a", 1), ("b", 2)]
    assert list(second.items()) == [("a", 1), ("b", 20)]
    assert list(third.items()) == [("b", 20), ("c", 3)]


def test_member_stands_under_its_last_keys_only() -> None:
    index: Index[str, int] = Index()
    index.put(1, ["a", "b"])
    index.put(1, ["b", "c"])

    assert [key for key in "abc" if 1 in index.under(key)] == ["b", "c"]
    assert index.of(1) == ("b", "c")


def test_put_says_under_which_keys_something_may_have_changed() -> None:
    index: Index[str, int] = Index()
    index.put(1, ["a", "b"])

    assert index.put(1, ["b", "c"]) == {"a", "b", "c"}


def test_key_without_members_is_no_key() -> None:
    index: Index[str, int] = Index()
    index.put(1, ["a"])
    index.put(1, [])

    assert "a" not in index
    assert not index.keys
