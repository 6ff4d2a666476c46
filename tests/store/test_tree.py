"""Which files hold policies, and what is not followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xds_server.store import tree
from xds_server.store.tree import is_policy_name, look_at, same_generations, scan


def labels(root: Path) -> list[str]:
    return list(scan([root]).files)


def codes(root: Path) -> list[tuple[str, str]]:
    return [(problem.file, problem.code) for problem in scan([root]).problems]


@pytest.mark.parametrize("name", ["a.yaml", "a.yml", "a.json", "a.b.yaml"])
def test_a_policy_file_is_known_by_its_name(name: str) -> None:
    assert is_policy_name(name)


@pytest.mark.parametrize(
    "name",
    [
        ".a.yaml",
        "a.yaml~",
        ".a.yaml.swp",
        "4913",
        "#a.yaml#",
        ".#a.yaml",
        "a.yaml.bak",
        ".a.yaml.Xy1",
        "sedXy1",
        "a.txt",
    ],
)
def test_an_editors_temporary_file_is_no_policy_file(name: str) -> None:
    assert not is_policy_name(name)


def test_files_are_found_at_any_depth_in_the_order_of_their_labels(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    for name in ("z.yaml", "b/c/a.yaml", "a.yaml", "b/readme.md"):
        (tmp_path / name).touch()

    assert labels(tmp_path) == ["a.yaml", "b/c/a.yaml", "z.yaml"]


def test_hidden_directories_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "a.yaml").touch()

    assert labels(tmp_path) == []


def test_a_root_may_be_one_file(tmp_path: Path) -> None:
    path = tmp_path / "policies"
    path.touch()

    assert labels(path) == [str(path)]


def test_files_of_several_roots_carry_the_name_of_their_root(tmp_path: Path) -> None:
    for root in ("x", "y"):
        (tmp_path / root).mkdir()
        (tmp_path / root / "a.yaml").touch()

    assert list(scan([tmp_path / "x", tmp_path / "y"]).files) == [f"{tmp_path}/x/a.yaml", f"{tmp_path}/y/a.yaml"]


def test_a_missing_root_is_told(tmp_path: Path) -> None:
    assert scan([tmp_path / "gone"]).missing == (tmp_path / "gone",)


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "..", "../outside.yaml", "/", "/proc/self/environ", "sub/../../outside.yaml"]
)
def test_a_link_to_outside_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "outside.yaml").touch()
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "link.yaml").symlink_to(target)

    assert labels(root) == []
    assert codes(root) == [("link.yaml", "link-outside")]


def test_a_link_through_a_link_to_outside_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.yaml").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "way").symlink_to("../outside")
    (root / "a.yaml").symlink_to("way/a.yaml")

    assert labels(root) == []


def test_a_root_whose_name_begins_like_ours_is_outside(tmp_path: Path) -> None:
    (tmp_path / "root-2").mkdir()
    (tmp_path / "root-2" / "a.yaml").touch()
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.yaml").symlink_to("../root-2/a.yaml")

    assert codes(root) == [("a.yaml", "link-outside")]


def test_a_file_with_two_names_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").touch()
    (tmp_path / "a.yaml").symlink_to("b.yaml")

    assert labels(tmp_path) == ["b.yaml"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.yaml").touch()
    (tmp_path / "sub" / "up").symlink_to("..")
    (tmp_path / "self.yaml").symlink_to("self.yaml")

    assert labels(tmp_path) == ["sub/a.yaml"]
    assert codes(tmp_path) == [("self.yaml", "unreadable")]


def test_the_layout_of_a_config_map_is_followed(tmp_path: Path) -> None:
    (tmp_path / "..2024").mkdir()
    (tmp_path / "..2024" / "a.yaml").touch()
    (tmp_path / "..data").symlink_to("..2024")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    found = scan([tmp_path])

    assert list(found.files) == ["a.yaml"]
    assert found.generations == {str(tmp_path): "..2024"}


def test_a_swapped_config_map_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "..data").symlink_to("..1")
    found = scan([tmp_path])
    before = same_generations(found)
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    assert (before, same_generations(found)) == (True, False)


def test_a_pipe_is_no_policy_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")

    assert codes(tmp_path) == [("a.yaml", "not-a-file")]


def test_what_passes_the_total_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_TOTAL_BYTES", 3)
    (tmp_path / "a.yaml").write_text("xx")
    (tmp_path / "b.yaml").write_text("xx")

    assert labels(tmp_path) == ["a.yaml"]
    assert codes(tmp_path) == [("b.yaml", "root-too-large")]


def test_one_file_can_be_looked_at_alone(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").touch()

    assert look_at([tmp_path], tmp_path / "a.yaml") == ("a.yaml", scan([tmp_path]).files["a.yaml"])


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    assert look_at([tmp_path], tmp_path / "a.yaml") == ("a.yaml", None)


@pytest.mark.parametrize("name", ["link.yaml", "sub", ".hidden/a.yaml", "..data", "../a.yaml"])
def test_what_one_look_cannot_tell_needs_a_scan(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.yaml").symlink_to("sub")

    assert look_at([tmp_path], tmp_path / name) is None


def test_a_file_of_a_root_that_is_gone_needs_a_scan(tmp_path: Path) -> None:
    assert look_at([tmp_path / "gone"], tmp_path / "gone" / "a.yaml") is None
