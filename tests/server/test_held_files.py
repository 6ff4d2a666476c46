"""What nodes held, on disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.xds.made import clusters, resource
from xds_server.server import held_files
from xds_server.server.held_files import FORGOTTEN_AFTER, HeldFiles, Kept
from xds_server.xds.resource_set import ResourceSet
from xds_server.xds.type_url import CLUSTER, ENDPOINT

NOW = time.time()
"""Files have the system's time."""
DOUBTFUL = [("early", "c", NOW - 9), ("between", "b", NOW - 5), ("late", "a", NOW)]


def kept(at: float = NOW, **versions: str) -> Kept:
    """A node with these clusters."""
    return Kept({CLUSTER: clusters(**versions)}, {}, at)


def held(files: HeldFiles, now: float = NOW) -> dict[str, dict[str, list[str]]]:
    """Names by node and type."""
    return {
        node: {url: sorted(resources.names) for url, resources in found.held.items()}
        for node, found in files.read(now).items()
    }


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Whole: it is sent again as it was."""
    both = ResourceSet({name: resource(CLUSTER, name, "1", f"e{name}") for name in "ab"})
    files = HeldFiles(tmp_path / "state" / "held", "here")
    files.write({"n": Kept({CLUSTER: both, ENDPOINT: ResourceSet({})}, {CLUSTER: frozenset("xy")}, NOW - 1)})

    found = files.read(NOW)["n"]

    assert found.held[CLUSTER].by_name == both.by_name
    assert found.tombstones == {CLUSTER: {"x", "y"}}
    assert found.at == NOW - 1
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "state" / "held").iterdir()] == [0o600]


def test_what_nodes_have_in_common_is_written_once_and_is_one_object_again(tmp_path: Path) -> None:
    files, shared = HeldFiles(tmp_path, "here"), clusters(a="1")
    files.write({name: Kept({CLUSTER: shared}, {}, NOW) for name in ("m", "n")})

    found = files.read(NOW)

    assert found["m"].held[CLUSTER] is found["n"].held[CLUSTER]


def test_servers_that_share_a_directory_know_each_others_nodes(tmp_path: Path) -> None:
    """What was seen last counts."""
    one, other = HeldFiles(tmp_path, "one"), HeldFiles(tmp_path, "other")
    one.write({"m": kept(a="1"), "both": kept(NOW - 2, a="1")})
    other.write({"n": kept(b="1"), "both": kept(NOW - 1, b="1")})

    assert held(one) == held(other) == {"m": {CLUSTER: ["a"]}, "n": {CLUSTER: ["b"]}, "both": {CLUSTER: ["b"]}}


def test_nodes_come_in_the_order_in_which_they_were_seen(tmp_path: Path) -> None:
    """The first are forgotten first."""
    files = HeldFiles(tmp_path, "here")
    files.write({"late": kept(NOW), "early": kept(NOW - 9), "between": kept(NOW - 5)})

    assert list(files.read(NOW)) == ["early", "between", "late"]


def test_what_is_too_old_is_forgotten(tmp_path: Path) -> None:
    files = HeldFiles(tmp_path, "here")
    files.write({"old": kept(NOW - FORGOTTEN_AFTER - 1, a="1"), "new": kept(NOW - FORGOTTEN_AFTER + 1, a="1")})

    assert set(files.read(NOW)) == {"new"}


def test_file_of_a_server_that_is_long_gone_is_removed(tmp_path: Path) -> None:
    HeldFiles(tmp_path, "gone").write({"n": kept(a="1")})
    (path,) = tmp_path.iterdir()
    os.utime(path, (NOW - FORGOTTEN_AFTER - 1,) * 2)

    assert HeldFiles(tmp_path, "here").read(NOW) == {}
    assert not path.exists()


def test_nodes_seen_long_ago_give_way_when_there_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_files, "_MOST_BYTES", 5)
    files = HeldFiles(tmp_path, "here")
    files.write({"early": kept(NOW - 9, c="1"), "between": kept(NOW - 5, b="1"), "late": kept(NOW, a="1")})

    assert set(files.read(NOW)) == {"between", "late"}


def test_names_in_doubt_count_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node may be in doubt about thousands."""
    monkeypatch.setattr(held_files, "_MOST_BYTES", 5)
    files = HeldFiles(tmp_path, "here")
    files.write({node: Kept({}, {CLUSTER: frozenset({name * 4})}, at) for node, name, at in DOUBTFUL})

    assert set(files.read(NOW)) == {"between", "late"}


def test_same_is_said_at_whatever_time() -> None:
    """Else every node that says the same again would be written down again."""
    held, doubts = {CLUSTER: clusters(a="1")}, {CLUSTER: frozenset("x")}

    assert Kept(held, doubts, NOW).says(Kept(held, doubts, NOW - 1))
    assert not Kept(held, doubts, NOW).says(Kept({}, doubts, NOW))
    assert not Kept(held, doubts, NOW).says(Kept(held, {}, NOW))


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "{}", '{"resources": [1], "sets": [], "names": [], "nodes": []}', "\xff"]
)
def test_file_that_makes_no_sense_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    files = HeldFiles(tmp_path, "here")
    files.write({})
    (path,) = tmp_path.iterdir()
    path.write_text(text, encoding="latin-1")

    assert files.read(NOW) == {}


def test_file_that_others_can_write_is_not_believed(tmp_path: Path) -> None:
    """What is in it is sent to proxies."""
    files = HeldFiles(tmp_path, "here")
    files.write({"n": kept(a="1")})
    (path,) = tmp_path.iterdir()
    path.chmod(0o622)

    assert files.read(NOW) == {}


def test_no_directory_is_as_good_as_an_empty_one(tmp_path: Path) -> None:
    assert HeldFiles(tmp_path / "none", "here").read(NOW) == {}
