"""What a node's next stream is told that its last one could not settle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.loopback import until
from tests.xds.made import clusters
from xds_server.server import tombstones
from xds_server.server.held_files import FORGOTTEN_AFTER, HeldFiles
from xds_server.server.tombstones import TombstoneBook
from xds_server.xds import type_url
from xds_server.xds.delta import DeltaStream
from xds_server.xds.resource_set import ResourceSet
from xds_server.xds.sotw import SotwStream
from xds_server.xds.stream import NOTHING_HELD, Held, Stream, Tombstones

A: Tombstones = {type_url.CLUSTER: frozenset({"a"})}
B: Tombstones = {type_url.CLUSTER: frozenset({"b"}), type_url.ROUTE: frozenset({"r"})}
HELD: Held = {type_url.CLUSTER: ResourceSet({})}
MORE: Held = {type_url.CLUSTER: ResourceSet({})}


class Holder:
    """A machine that is unsure of what the test says, of SotW unless the test says otherwise."""

    def __init__(self, unsure: Tombstones, held: Held = NOTHING_HELD, variant: type[Stream[Any, Any]] = SotwStream):
        self.tombstones = self.doubts = unsure
        self.held = held
        self.remembers = variant.remembers


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


def test_node_that_left_nothing_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most leave nothing."""
    monkeypatch.setattr(tombstones, "_MOST_NODES", 1)
    book = TombstoneBook()
    for node, unsure in (("first", A), ("second", {}), ("third", {})):
        machine = Holder(unsure)
        book.opened(node, machine)
        book.closed(node, machine)

    assert book.of("first") == A


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


def test_node_that_ended_with_nothing_holds_nothing() -> None:
    """Whatever it held before it was started anew."""
    book = TombstoneBook()
    for held in (HELD, NOTHING_HELD):
        machine = Holder({}, held)
        book.opened("n", machine)
        book.closed("n", machine)

    assert book.held_by("n") == {}


def test_what_few_nodes_held_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is more than a name."""
    monkeypatch.setattr(tombstones, "_MOST_HELD", 2)
    book = TombstoneBook()
    for node in ("first", "second", "third"):
        machine = Holder({}, HELD)
        book.opened(node, machine)
        book.closed(node, machine)

    assert [bool(book.held_by(node)) for node in ("first", "second", "third")] == [False, True, True]


@asynccontextmanager
async def written_down(book: TombstoneBook, files: HeldFiles) -> AsyncIterator[Callable[[], set[str]]]:
    """While the book is written down: which nodes are in the files."""
    task = asyncio.create_task(book.write_down(files))
    try:
        yield lambda: set(files.read(now=0.0))
    finally:
        task.cancel()


def at(moment: float) -> Callable[[], float]:
    """A clock that stands still."""
    return lambda: moment


async def test_next_server_is_told_what_the_node_holds(tmp_path: Path) -> None:
    """A moment after the node took it; a killed server says nothing more."""
    files, held = HeldFiles(tmp_path / "held", "here"), {type_url.CLUSTER: clusters(a="1", b="2")}
    book, machine = TombstoneBook(clock=at(5.0)), Holder({}, held)
    book.opened("n", machine)
    async with written_down(book, files) as nodes:
        book.acked("n", machine, type_url.CLUSTER)
        await until(lambda: nodes() == {"n"})
    told = TombstoneBook(files.read(now=6.0)).held_by("n")

    assert {url: resources.by_name for url, resources in told.items()} == {
        url: resources.by_name for url, resources in held.items()
    }


async def test_node_that_left_is_written_down_with_those_that_stay(tmp_path: Path) -> None:
    files, held = HeldFiles(tmp_path, "here"), {type_url.CLUSTER: clusters(a="1")}
    times = [5.0]
    book, leaves, stays = TombstoneBook(clock=lambda: times[0]), Holder({}, held), Holder({}, held)
    book.opened("leaves", leaves)
    book.opened("stays", stays)
    book.closed("leaves", leaves)
    times[0] += FORGOTTEN_AFTER - 1
    async with written_down(book, files) as nodes:
        book.acked("stays", stays, type_url.CLUSTER)
        await until(lambda: nodes() == {"leaves", "stays"})


async def test_node_that_comes_later_is_written_down_with_the_others(tmp_path: Path) -> None:
    files, held = HeldFiles(tmp_path, "here"), {type_url.CLUSTER: clusters(a="1")}
    book, early, late = TombstoneBook(clock=at(5.0)), Holder({}, held), Holder({}, held)
    book.opened("early", early)
    async with written_down(book, files) as nodes:
        book.acked("early", early, type_url.CLUSTER)
        await until(lambda: nodes() == {"early"})
        book.opened("late", late)
        book.acked("late", late, type_url.CLUSTER)
        await until(lambda: nodes() == {"early", "late"})


async def test_node_that_says_itself_what_it_holds_is_not_written_down(tmp_path: Path) -> None:
    files, held = HeldFiles(tmp_path, "here"), {type_url.CLUSTER: clusters(a="1")}
    book, delta, sotw = TombstoneBook(clock=at(5.0)), Holder({}, {}, DeltaStream), Holder({}, held)
    book.opened("delta", delta)
    book.opened("sotw", sotw)
    async with written_down(book, files) as nodes:
        book.acked("sotw", sotw, type_url.CLUSTER)
        await until(lambda: nodes() == {"sotw"})


async def test_what_nobody_came_back_for_is_forgotten_after_a_day(tmp_path: Path) -> None:
    files, held = HeldFiles(tmp_path, "here"), {type_url.CLUSTER: clusters(a="1")}
    times = [5.0]
    book, leaves, stays = TombstoneBook(clock=lambda: times[0]), Holder({}, held), Holder({}, held)
    book.opened("leaves", leaves)
    book.closed("leaves", leaves)
    book.opened("stays", stays)
    times[0] += FORGOTTEN_AFTER + 1
    async with written_down(book, files) as nodes:
        book.acked("stays", stays, type_url.CLUSTER)
        await until(lambda: nodes() == {"stays"})

    assert book.held_by("leaves") == {}


async def test_next_server_is_told_what_the_node_refused_in_part(tmp_path: Path) -> None:
    """It may hold what it will not tell of, and a deleted policy would be served for ever."""
    files, book, machine = HeldFiles(tmp_path, "here"), TombstoneBook(clock=at(5.0)), Holder(A, {}, DeltaStream)
    book.opened("n", machine)
    async with written_down(book, files) as nodes:
        book.nacked("n")
        await until(lambda: nodes() == {"n"})

    assert TombstoneBook(files.read(now=6.0)).of("n") == A


async def test_what_has_been_settled_since_is_not_told(tmp_path: Path) -> None:
    files, book, machine = HeldFiles(tmp_path, "here"), TombstoneBook(clock=at(5.0)), Holder(A, {}, DeltaStream)
    book.opened("n", machine)
    async with written_down(book, files) as nodes:
        book.nacked("n")
        await until(lambda: nodes() == {"n"})
        machine.doubts = {}
        book.acked("n", machine, type_url.CLUSTER)
        await until(lambda: nodes() == set())


async def test_only_nodes_that_said_something_are_looked_at_again(tmp_path: Path) -> None:
    """One that refuses over and over must not cost what the whole fleet does."""
    held, looked_at = {type_url.CLUSTER: clusters(a="1")}, []

    class Looked(Holder):
        """Notes when somebody looks."""

        @property
        def doubts(self) -> Tombstones:
            looked_at.append(self)
            return self.tombstones

        @doubts.setter
        def doubts(self, _: Tombstones) -> None:
            """It is what the tombstones are."""

    files, book, quiet, loud = HeldFiles(tmp_path, "here"), TombstoneBook(), Looked({}, held), Looked(A, held)
    book.opened("quiet", quiet)
    book.opened("loud", loud)
    async with written_down(book, files) as nodes:
        book.nacked("loud")
        await until(lambda: nodes() == {"quiet", "loud"})
        looked_at.clear()
        book.nacked("loud")
        await until(lambda: bool(looked_at))

    assert looked_at == [loud]
