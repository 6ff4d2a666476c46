"""What a node's next stream is told that its last one could not settle."""

from __future__ import annotations

import pytest

from xds_server.server import tombstones
from xds_server.server.tombstones import TombstoneBook
from xds_server.xds import type_url
from xds_server.xds.stream import Tombstones

A: Tombstones = {type_url.CLUSTER: frozenset({"a"})}
B: Tombstones = {type_url.CLUSTER: frozenset({"b"}), type_url.ROUTE: frozenset({"r"})}


class Holder:
    """A machine that is unsure of what the test says."""

    def __init__(self, unsure: Tombstones) -> None:
        self.tombstones = unsure


def test_next_stream_is_told_what_the_last_one_left() -> None:
    book, machine = TombstoneBook(), Holder(A)
    book.opened("n", machine)
    book.closed("n", machine)

    assert book.of("n") == A
    assert book.of("other") == {}


def test_stream_that_is_only_thought_to_live_counts_too() -> None:
    """A node is often back before its dead connection is noticed."""
    book = TombstoneBook()
    book.opened("n", Holder(A))

    assert book.of("n") == A


def test_names_of_several_streams_are_joined() -> None:
    book, first, second = TombstoneBook(), Holder(A), Holder(B)
    for machine in (first, second):
        book.opened("n", machine)
    book.closed("n", first)

    assert book.of("n") == {type_url.CLUSTER: frozenset({"a", "b"}), type_url.ROUTE: frozenset({"r"})}


def test_stream_answers_for_what_it_was_told() -> None:
    book, first, settled = TombstoneBook(), Holder(A), Holder({})
    book.opened("n", first)
    book.closed("n", first)

    book.opened("n", settled)
    book.closed("n", settled)

    assert book.of("n") == {}


def test_nodes_that_never_come_back_are_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tombstones, "_MOST_NODES", 2)
    book = TombstoneBook()
    for node in ("first", "second", "third"):
        machine = Holder(A)
        book.opened(node, machine)
        book.closed(node, machine)

    assert [bool(book.of(node)) for node in ("first", "second", "third")] == [False, True, True]
