"""What one file says now, given what it said before."""

from __future__ import annotations

import os
from pathlib import Path

from tests.store.policies import BROKEN, documents, invalid
from xds_server.store.policy_file import PolicyFile, Reader
from xds_server.store.tree import scan

READER = Reader(default_namespace="default", grace=0.5, now=4_000_000_000.0, earlier={})


def read(path: Path, before: PolicyFile | None = None) -> PolicyFile:
    file = READER.read(next(iter(scan([path]).files.values())), before)
    assert file is not None
    return file


def in_force(file: PolicyFile) -> list[str]:
    return sorted(name for _, _, name in file.in_force)


def test_a_valid_document_is_live(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(documents("a"))
    file = read(path)

    assert ([document.name for _, document in file.live], file.held, file.problems) == (["a"], (), ())


def test_an_invalid_document_holds_its_last_good_form(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(documents("a", "b"))
    before = read(path)
    path.write_text(invalid("a") + "---\n" + documents("b"))
    file = read(path, before)

    assert [document for _, document in file.held] == [before.in_force["VirtualService", "default", "a"]]


def test_a_document_that_nobody_can_name_holds_all_that_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(documents("a", "b", "c"))
    before = read(path)
    path.write_text(documents("b") + "---\n" + BROKEN)

    assert in_force(read(path, before)) == ["a", "b", "c"]


def test_a_file_that_vanishes_between_two_looks_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(documents("a"))
    found = scan([path]).files[str(path)]
    path.unlink()

    assert READER.read(found, None) is None


def test_a_file_that_cannot_be_read_holds_its_documents(tmp_path: Path) -> None:
    """Here a pipe took its place, for which no reader may wait; a file without permission ends the same way."""
    path = tmp_path / "a.yaml"
    path.write_text(documents("a"))
    before = read(path)
    path.unlink()
    os.mkfifo(path)
    file = READER.read(before.found, before)

    assert file is not None
    assert (in_force(file), [problem.code for problem in file.problems]) == (["a"], ["unreadable"])
    assert not file.trusted


def test_a_file_that_was_read_long_after_its_change_is_trusted(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(documents("a"))

    assert read(path).trusted
