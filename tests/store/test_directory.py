"""What is in force after each thing that can happen to files."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.store.policies import BROKEN, codes, documents, invalid, marks, names, virtual_service, write
from xds_server.problem import Severity
from xds_server.store.directory import Reading, Rules, read_policies

LATER = 4_000_000_000.0
"""A clock by which every file of these tests was written long ago."""


def read(root: Path, previous: Reading | None = None, changed: frozenset[Path] | None = None) -> Reading:
    return read_policies(root, previous, changed=changed, clock=lambda: LATER)


def test_documents_come_in_order_of_precedence_whatever_their_files(tmp_path: Path) -> None:
    write(tmp_path, a=documents("z", "w"), b=documents("x") + "---\n" + virtual_service("old", created="2020-01-01"))

    assert names(read(tmp_path)) == ["old", "w", "x", "z"]


def test_a_document_knows_its_file_relative_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").write_text("# first\n---\n" + documents("a"))

    origin = read(tmp_path).policies.documents[0].origin
    assert (origin.file, origin.line) == ("sub/a.yaml", 3)


def test_nothing_changed_is_the_same_policies(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"), b=invalid("c"))
    first = read(tmp_path)

    assert read(tmp_path, first).policies is first.policies


def test_an_unchanged_file_keeps_its_documents(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"), b=documents("b"))
    first = read(tmp_path)
    write(tmp_path, b=documents("b", mark="2"))
    second = read(tmp_path, first)

    assert second.policies.documents[0] is first.policies.documents[0]
    assert marks(second) == {"a": "1", "b": "2"}


def test_an_unchanged_document_of_a_changed_file_keeps_its_object(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b", "c"))
    first = read(tmp_path)
    write(tmp_path, a=documents("a") + "---\n" + virtual_service("b", mark="2") + "---\n" + virtual_service("c"))
    second = read(tmp_path, first)

    same = [new is old for new, old in zip(second.policies.documents, first.policies.documents, strict=True)]
    assert same == [True, False, True]


def test_a_file_written_again_with_the_same_text_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").unlink()
    write(tmp_path, a=documents("a"))

    assert read(tmp_path, first).policies is first.policies


def test_a_change_within_one_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    """Same size, same time stamp: what git calls racy."""
    write(tmp_path, a=documents("a", mark="1"))
    status = (tmp_path / "a.yaml").stat()
    first = read_policies(tmp_path, clock=lambda: status.st_mtime)
    write(tmp_path, a=documents("a", mark="2"))
    os.utime(tmp_path / "a.yaml", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert marks(read_policies(tmp_path, first, clock=lambda: status.st_mtime)) == {"a": "2"}


def test_a_deleted_document_goes(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"))
    first = read(tmp_path)
    write(tmp_path, a=documents("b"))

    assert names(read(tmp_path, first)) == ["b"]


def test_a_deleted_file_takes_its_documents_along(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"), b=documents("b"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").unlink()

    assert names(read(tmp_path, first)) == ["b"]


def test_an_invalid_document_keeps_its_last_good_form(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"))
    first = read(tmp_path)
    write(tmp_path, a=invalid("a") + "---\n" + virtual_service("b", mark="2"))
    second = read(tmp_path, first)

    assert marks(second) == {"a": "1", "b": "2"}
    assert all("the last good form stays in force" in problem.message for problem in second.policies.problems)


def test_an_invalid_document_without_an_earlier_form_says_so(tmp_path: Path) -> None:
    write(tmp_path, a=invalid("a"), b=documents("b"))
    reading = read(tmp_path)

    assert names(reading) == ["b"]
    assert all("no earlier good form" in problem.message for problem in reading.policies.problems)


def test_a_last_good_form_outlives_several_bad_edits(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"))
    reading = read(tmp_path)
    for text in (invalid("a"), BROKEN, "", "\0", invalid("a")):
        write(tmp_path, a=text)
        reading = read(tmp_path, reading)

    assert marks(reading) == {"a": "1"}


def test_a_corrected_document_is_in_force_again(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"))
    first = read(tmp_path)
    write(tmp_path, a=invalid("a"))
    second = read(tmp_path, first)
    write(tmp_path, a=documents("a", mark="2"))
    third = read(tmp_path, second)

    assert (marks(third), codes(third)) == ({"a": "2"}, [])


def test_an_undone_edit_gives_back_the_same_document(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"))
    first = read(tmp_path)
    write(tmp_path, a=BROKEN)
    second = read(tmp_path, first)
    write(tmp_path, a=documents("a"))

    assert read(tmp_path, second).policies.documents[0] is first.policies.documents[0]


def test_a_broken_document_keeps_all_that_the_file_does_not_show(tmp_path: Path) -> None:
    """Nobody can tell which of them it was."""
    write(tmp_path, a=documents("a", "b", "c"))
    first = read(tmp_path)
    write(tmp_path, a=virtual_service("a", mark="2") + "---\n" + BROKEN)

    assert marks(read(tmp_path, first)) == {"a": "2", "b": "1", "c": "1"}


def test_a_document_that_is_no_policy_holds_nothing(tmp_path: Path) -> None:
    deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n---\n"
    write(tmp_path, a=deployment + documents("a", "b"))
    first = read(tmp_path)
    write(tmp_path, a=deployment + documents("b"))

    assert names(read(tmp_path, first)) == ["b"]


def test_a_renamed_document_does_not_stay_under_its_old_name(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"))
    first = read(tmp_path)
    write(tmp_path, a=documents("b"))

    assert names(read(tmp_path, first)) == ["b"]


def test_a_document_moved_out_of_a_broken_file_counts_where_it_is(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"), z=documents("z"))
    first = read(tmp_path)
    write(tmp_path, a=BROKEN, z=documents("z") + "---\n" + virtual_service("a", mark="2"))
    second = read(tmp_path, first)

    assert marks(second) == {"a": "2", "b": "1", "z": "1"}
    assert codes(second) == ["yaml-syntax"]


def test_a_document_moved_and_broken_at_once_keeps_its_last_good_form(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"), b=documents("b"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").unlink()
    write(tmp_path, b=documents("b") + "---\n" + invalid("a"))
    second = read(tmp_path, first)

    assert marks(second) == {"a": "1", "b": "1"}
    assert marks(read(tmp_path, second)) == {"a": "1", "b": "1"}


def test_an_empty_file_is_taken_for_half_written(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"))
    first = read(tmp_path)
    write(tmp_path, a="")
    second = read(tmp_path, first)

    assert names(second) == ["a"]
    assert [(problem.code, problem.severity) for problem in second.policies.problems] == [
        ("file-empty", Severity.WARNING)
    ]


def test_a_file_of_comments_says_that_it_holds_nothing(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"))
    first = read(tmp_path)
    write(tmp_path, a="# nothing\n")

    assert names(read(tmp_path, first)) == []


def test_a_file_that_lost_its_end_a_moment_ago_is_not_believed(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"))
    first = read(tmp_path)
    write(tmp_path, a=documents("a") + "---\n")
    written = (tmp_path / "a.yaml").stat().st_mtime
    second = read_policies(tmp_path, first, clock=lambda: written + 0.1)

    assert names(second) == ["a", "b"]
    assert codes(second) == ["half-written"]
    assert second.unsettled == {tmp_path / "a.yaml"}


def test_a_file_that_stays_without_its_end_is_believed(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"))
    first = read(tmp_path)
    write(tmp_path, a=documents("a") + "---\n")
    written = (tmp_path / "a.yaml").stat().st_mtime
    second = read_policies(tmp_path, first, clock=lambda: written + 0.1)
    third = read_policies(tmp_path, second, changed=frozenset(), clock=lambda: written + 1)

    assert (names(third), codes(third)) == (["a"], [])


def test_a_shorter_file_put_in_place_at_once_is_believed_at_once(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"))
    first = read(tmp_path)
    write(tmp_path, new=documents("a") + "---\n")
    (tmp_path / "new.yaml").rename(tmp_path / "a.yaml")
    written = (tmp_path / "a.yaml").stat().st_mtime

    assert names(read_policies(tmp_path, first, clock=lambda: written)) == ["a"]


def test_a_thousand_random_truncations_lose_no_document(tmp_path: Path) -> None:
    text = documents("a", "b", "c") + "---\n" + virtual_service("d").replace("d.example", "dé.example")
    write(tmp_path, a=text)
    first = read(tmp_path)
    every = names(first)
    content = (tmp_path / "a.yaml").read_bytes()
    chance = random.Random(1)

    for _ in range(1000):
        (tmp_path / "a.yaml").write_bytes(content[: chance.randrange(len(content))])
        reading = read_policies(tmp_path, first, changed=frozenset({tmp_path / "a.yaml"}), clock=lambda: 0.0)
        assert names(reading) == every


def test_a_file_replaced_by_a_link_to_nothing_keeps_its_documents(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").unlink()
    (tmp_path / "a.yaml").symlink_to("gone.yaml")
    second = read(tmp_path, first)

    assert (names(second), codes(second)) == (["a"], ["unreadable"])


def test_of_two_documents_with_one_name_the_older_is_in_force(tmp_path: Path) -> None:
    write(tmp_path, a=virtual_service("a", mark="young"), b=virtual_service("a", mark="old", created="2020-01-01"))
    reading = read(tmp_path)

    assert marks(reading) == {"a": "old"}
    assert [(problem.code, problem.file, problem.severity) for problem in reading.policies.problems] == [
        ("duplicate-document", "a.yaml", Severity.ERROR)
    ]


def test_of_two_equally_old_documents_with_one_name_the_first_by_file_and_line_is_in_force(tmp_path: Path) -> None:
    write(
        tmp_path,
        b=virtual_service("a", mark="b"),
        a=virtual_service("a", mark="1") + "---\n" + virtual_service("a", mark="2"),
    )
    reading = read(tmp_path)

    assert marks(reading) == {"a": "1"}
    assert [problem.file for problem in reading.policies.problems] == ["a.yaml", "b.yaml"]


def test_one_name_in_two_namespaces_is_two_documents(tmp_path: Path) -> None:
    write(tmp_path, a=virtual_service("a", namespace="x"), b=virtual_service("a", namespace="z"))

    assert [document.namespace for document in read(tmp_path).policies.documents] == ["x", "z"]


def test_a_missing_root_holds_all_documents(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write(root, a=documents("a"))
    first = read(root)
    (root / "a.yaml").unlink()
    root.rmdir()
    second = read(root, first)

    assert (names(second), codes(second)) == (["a"], ["root-missing"])
    assert read(root, second).policies is second.policies


def test_a_root_that_comes_back_is_read_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write(root, a=documents("a"))
    first = read(root)
    root.rename(tmp_path / "away")
    second = read(root, first)
    (tmp_path / "away").rename(root)
    write(root, a=documents("a", mark="2"))
    third = read(root, second, changed=frozenset())

    assert (marks(third), codes(third)) == ({"a": "2"}, [])


def test_a_root_that_was_never_there_is_a_problem(tmp_path: Path) -> None:
    assert codes(read(tmp_path / "gone")) == ["root-missing"]


def test_more_than_half_of_the_documents_gone_at_once_are_held(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b", "c"), d=documents("d"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").unlink()
    second = read(tmp_path, first)

    assert (names(second), codes(second)) == (["a", "b", "c", "d"], ["mass-delete-held"])
    assert "--allow-mass-delete" in second.policies.problems[0].fix


def test_a_held_state_is_left_when_the_documents_are_back(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b", "c"), d=documents("d"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").unlink()
    second = read(tmp_path, first)
    write(tmp_path, a=documents("a", "b", mark="2"))
    third = read(tmp_path, second, changed=frozenset())

    assert (marks(third), codes(third)) == ({"a": "2", "b": "2", "d": "1"}, [])


def test_half_of_the_documents_may_go(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"), c=documents("c", "d"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").unlink()

    assert names(read(tmp_path, first)) == ["c", "d"]


def test_a_mass_deletion_can_be_allowed(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b", "c", "d"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").unlink()

    assert names(read_policies(tmp_path, first, rules=Rules(allow_mass_delete=True))) == []


def test_the_guarded_part_is_a_setting(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"), c=documents("c", "d", "e"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").unlink()

    assert codes(read_policies(tmp_path, first, rules=Rules(max_delete_fraction=0.1))) == ["mass-delete-held"]


def test_moving_all_documents_to_other_files_is_no_deletion(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b", "c", "d"))
    first = read(tmp_path)
    (tmp_path / "a.yaml").rename(tmp_path / "z.yaml")
    second = read(tmp_path, first)

    assert codes(second) == []
    assert {document.origin.file for document in second.policies.documents} == {"z.yaml"}


def test_a_hint_names_the_only_files_that_are_read(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a"), b=documents("b"))
    first = read(tmp_path)
    write(tmp_path, a=documents("a", mark="2"), b=documents("b", mark="2"))

    assert marks(read(tmp_path, first, changed=frozenset({tmp_path / "a.yaml"}))) == {"a": "2", "b": "1"}


def edit(root: Path) -> None:
    write(root, a=documents("a", mark="2"))


def create(root: Path) -> None:
    write(root, aa=documents("n"))


def delete(root: Path) -> None:
    (root / "a.yaml").unlink()


def spoil(root: Path) -> None:
    write(root, a=BROKEN)


def link(root: Path) -> None:
    (root / "a.yaml").unlink()
    (root / "a.yaml").symlink_to("b.yaml")


@pytest.mark.parametrize("change", [edit, create, delete, spoil, link])
def test_a_hinted_reading_equals_a_full_one(tmp_path: Path, change: Callable[[Path], None]) -> None:
    write(tmp_path, a=documents("a"), b=documents("b"), c=documents("b", "c"))
    first = read(tmp_path)
    change(tmp_path)
    hinted = read(tmp_path, first, changed=frozenset({tmp_path / "a.yaml", tmp_path / "aa.yaml"}))
    full = read(tmp_path, first)

    assert (marks(hinted), hinted.policies.problems) == (marks(full), full.policies.problems)
    assert list(hinted.files) == list(full.files)


def test_a_config_map_changes_as_a_whole(tmp_path: Path) -> None:
    for mark in ("1", "2"):
        (tmp_path / f"..{mark}").mkdir()
        write(tmp_path / f"..{mark}", a=documents("a", mark=mark), b=documents("b", mark=mark))
    (tmp_path / "..data").symlink_to("..1")
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    first = read(tmp_path)
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    second = read(tmp_path, first)

    assert (marks(first), marks(second)) == ({"a": "1", "b": "1"}, {"a": "2", "b": "2"})


def test_several_roots_are_one_set(tmp_path: Path) -> None:
    for root in ("x", "z"):
        (tmp_path / root).mkdir()
        write(tmp_path / root, a=documents(root))

    assert names(read_policies([tmp_path / "x", tmp_path / "z" / "a.yaml"])) == ["x", "z"]


def test_a_single_file_is_read_again_by_its_hint(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    write(tmp_path, a=documents("a"))
    first = read(path)
    write(tmp_path, a=documents("a", mark="2"))

    assert marks(read(path, first, changed=frozenset({path}))) == {"a": "2"}


def test_problems_are_sorted_by_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, b=BROKEN, a=invalid("x") + "---\n" + BROKEN, c=documents("c", "c"))
    problems = read(tmp_path).policies.problems

    assert list(problems) == sorted(problems)
    assert {problem.file for problem in problems} == {"a.yaml", "b.yaml", "c.yaml"}


def listed(*texts: str) -> str:
    """These documents as kubectl writes several: the items of one List."""
    items = "".join(f"- {text.replace(chr(10), chr(10) + '  ').rstrip()}\n" for text in texts)
    return f"apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{items}"


def test_items_of_a_list_are_documents_at_their_own_lines(tmp_path: Path) -> None:
    write(tmp_path, a=listed(virtual_service("a"), virtual_service("b").replace("http:", "htp:")))
    reading = read(tmp_path)

    assert [(document.name, document.origin.line) for document in reading.policies.documents] == [("a", 5)]
    (problem,) = (found for found in reading.policies.problems if found.code == "unknown-field")
    assert (problem.name, problem.line, problem.column) == ("b", 26, 5)


def test_lists_may_stand_in_lists_and_hold_nothing(tmp_path: Path) -> None:
    write(tmp_path, a=listed(listed(virtual_service("a")), listed().replace("items:", "items: []")))
    reading = read(tmp_path)

    assert (names(reading), reading.policies.problems) == (["a"], ())


def test_an_invalid_item_of_a_list_keeps_its_last_good_form(tmp_path: Path) -> None:
    write(tmp_path, a=listed(virtual_service("a"), virtual_service("b")))
    first = read(tmp_path)
    write(tmp_path, a=listed(invalid("a"), virtual_service("b", mark="2")))

    assert marks(read(tmp_path, first)) == {"a": "1", "b": "2"}


def test_a_list_without_items_is_never_silent(tmp_path: Path) -> None:
    write(tmp_path, a="apiVersion: v1\nkind: List\n")

    assert codes(read(tmp_path)) == ["not-a-policy"]


PEER_AUTHENTICATION = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec:
  mtls: {mode: STRICT}
"""


def broken(reading: Reading) -> list[tuple[str, str, str]]:
    return [(one.kind, one.namespace, one.name) for one in reading.policies.broken]


@pytest.mark.parametrize("mistake", ["mode: STRIKT", "{mode: STRICT}", "mode: [STRICT"])
def test_a_document_that_never_was_good_is_told_apart_from_none(tmp_path: Path, mistake: str) -> None:
    """Who closes doors must know that a door was to be closed, even where YAML itself is broken."""
    write(tmp_path, a=PEER_AUTHENTICATION.replace("mode: STRICT", mistake))
    first = read(tmp_path)

    assert broken(first) == [("PeerAuthentication", "shop", "default")]
    assert read(tmp_path, first).policies is first.policies


def test_a_document_whose_last_good_form_stays_is_not_broken(tmp_path: Path) -> None:
    write(tmp_path, a=PEER_AUTHENTICATION)
    first = read(tmp_path)
    write(tmp_path, a=PEER_AUTHENTICATION.replace("STRICT", "[STRICT"))
    second = read(tmp_path, first)

    assert names(second) == ["default"]
    assert broken(second) == []


def test_a_document_that_is_good_in_another_file_is_not_broken(tmp_path: Path) -> None:
    write(tmp_path, a=PEER_AUTHENTICATION.replace("STRICT", "STRIKT"), b=PEER_AUTHENTICATION)

    assert broken(read(tmp_path)) == []


def test_a_mended_document_is_not_broken_any_more(tmp_path: Path) -> None:
    write(tmp_path, a=PEER_AUTHENTICATION.replace("STRICT", "STRIKT"))
    first = read(tmp_path)
    write(tmp_path, a=PEER_AUTHENTICATION)

    assert broken(read(tmp_path, first)) == []


def test_the_problem_of_a_link_goes_with_the_link(tmp_path: Path) -> None:
    """The watcher names what was deleted, as it would name a file."""
    write(tmp_path, a=documents("a"))
    (tmp_path / "out.yaml").symlink_to("/etc/hostname")
    told = read(tmp_path)
    (tmp_path / "out.yaml").unlink()

    assert codes(told)
    assert codes(read(tmp_path, told, frozenset({tmp_path / "out.yaml"}))) == []


def test_documents_of_a_file_that_is_no_text_are_told_apart_from_none(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(PEER_AUTHENTICATION.encode() + b"# \xff\n")
    first = read(tmp_path)

    assert broken(first) == [("PeerAuthentication", "shop", "default")]
    assert read(tmp_path, first).policies is first.policies


def test_broken_document_stays_known_while_its_file_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, a=PEER_AUTHENTICATION.replace("STRICT", "STRIKT"))
    first = read(tmp_path)
    for content in (b"\xff\xfe", b""):
        (tmp_path / "a.yaml").write_bytes(content)

        assert read(tmp_path, first).policies.broken == first.policies.broken
