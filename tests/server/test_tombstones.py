"""What a node's next stream is told that its last one could not settle."""

from __future__ import annotations

import pytest

from xds_server.server import tombstones
from xds_server.server.tombstones import TombstoneBook
from xds_server.xds import type_url
from xds_server.xds.resource_set import ResourceSet
from xds_server.xds.stream import NOTHING_HELD, Held, Tombstones

A: Tombstones = {type_url.CLUSTER: frozenset({"a"})}
B: Tombstones = {type_url.CLUSTER: frozenset({"b"}), type_url.ROUTE: frozenset({"r"})}
HELD: Held = {type_url.CLUSTER: ResourceSet({})}
MORE: Held = {type_url.CLUSTER: ResourceSet({})}


class Holder:
    """A machine that is unsure of what the test says."""

    def __init__(self, unsure: Tombstones, held: Held = NOTHING_HELD) -> None:
        self.tombstones = unsure
        self.held = held


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


def test_next_stream_is_told_what_the_node_held() -> None:
    book, machine = TombstoneBook(), Holder({}, HELD)
    book.opened("n", machine)
    book.closed("n", machine)

    assert book.held_by("n") is HELD
    assert book.held_by("other") == {}


def test_newest_stream_knows_best_what_its_node_holds() -> None:
    """Whether the older one has ended or is only thought to live."""
    book, older, newer = TombstoneBook(), Holder({}, HELD), Holder({}, MORE)
    book.opened("n", older)
    book.opened("n", newer)
    assert book.held_by("n") is MORE
    book.closed("n", older)

    assert book.held_by("n") is MORE


def test_what_few_nodes_held_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is more than a name."""
    monkeypatch.setattr(tombstones, "_MOST_HELD", 2)
    book = TombstoneBook()
    for node in ("first", "second", "third"):
        machine = Holder({}, HELD)
        book.opened(node, machine)
        book.closed(node, machine)

    assert [bool(book.held_by(node)) for node in ("first", "second", "third")] == [False, True, True]
