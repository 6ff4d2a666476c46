"""What a server that was killed knows of its policies when it starts again."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from tests.store.policies import BROKEN, documents, invalid, marks, names, virtual_service, write
from xds_server.store.directory import Reading, read_policies
from xds_server.store.keepsake import MOST_ROOTS, Keepsakes

RESTORED = "its last good form, of before the restart, stays in force"
STRICT = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: shop}
spec: {mtls: {mode: STRICT}}
"""
STRICT_FLOW = (
    "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: shop}, spec: {mtls: {mode: STRICT}}}"
)
FOREIGN = "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {key: aHVzaA==}}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The policies."""
    (tmp_path / "policies").mkdir()
    return tmp_path / "policies"


def started(root: Path) -> Keepsakes:
    """Those of a server that has just started."""
    return Keepsakes(root.parent / "state", (root,), "default")


def kept(root: Path) -> Reading:
    """What is in force, and is kept."""
    reading = read_policies(root)
    assert started(root).keep(reading, {})
    return reading


def read_again(root: Path, previous: Reading | None = None) -> Reading:
    """What a server reads that has just started, or a moment later."""
    return read_policies(root, previous, kept=started(root).of)


def files(root: Path) -> list[Path]:
    """All keepsakes."""
    return sorted(path for path in (root.parent / "state" / "policies").rglob("*") if path.is_file())


def messages(reading: Reading) -> list[str]:
    return [problem.message for problem in reading.policies.problems]


@pytest.mark.parametrize("broken", [BROKEN.encode(), invalid("a").encode(), b"\xff", b""], ids=str)
def test_a_file_that_is_broken_at_the_start_keeps_its_last_good_form(root: Path, broken: bytes) -> None:
    write(root, a=documents("a"), b=documents("b"))
    kept(root)
    (root / "a.yaml").write_bytes(broken)
    reading = read_again(root)

    assert names(reading) == ["a", "b"]
    (message,) = messages(reading)
    assert message.endswith(RESTORED)


def test_only_the_broken_document_of_a_file_is_of_before_the_restart(root: Path) -> None:
    write(root, a=documents("a", "b"))
    kept(root)
    write(root, a=invalid("a") + "---\n" + virtual_service("b", mark="2"))

    assert marks(read_again(root)) == {"a": "1", "b": "2"}


def test_the_problem_says_the_same_at_the_next_look(root: Path) -> None:
    write(root, a=documents("a"))
    kept(root)
    write(root, a=BROKEN)
    first = read_again(root)
    second = read_policies(root, first)

    assert second.policies is first.policies


def test_a_good_file_is_believed_whatever_was_kept(root: Path) -> None:
    write(root, a=documents("a", "b"))
    kept(root)
    write(root, a=documents("a", mark="2"))

    assert marks(read_again(root)) == {"a": "2"}


def test_a_file_deleted_while_the_server_was_down_stays_deleted(root: Path) -> None:
    """For good, even when a broken one takes its place after the next restart."""
    write(root, a=documents("a"), b=documents("b"))
    kept(root)
    (root / "a.yaml").unlink()
    after = read_again(root)
    started(root).keep(after, {})
    write(root, a=BROKEN)

    assert names(after) == ["b"]
    assert names(read_again(root)) == ["b"]


def test_a_file_deleted_while_the_server_runs_is_kept_no_longer(root: Path) -> None:
    write(root, a=documents("a"))
    keepsakes, first = started(root), read_policies(root)
    keepsakes.keep(first, {})
    (root / "a.yaml").unlink()
    keepsakes.keep(read_policies(root, first), {})

    assert files(root) == []


def test_a_form_held_over_one_restart_is_held_over_the_next(root: Path) -> None:
    write(root, a=documents("a"))
    kept(root)
    write(root, a=BROKEN)
    started(root).keep(read_again(root), {})

    assert names(read_again(root)) == ["a"]


def test_a_broken_peer_authentication_has_its_kept_form(root: Path) -> None:
    write(root, a=STRICT)
    kept(root)
    write(root, a=STRICT.replace("mode: STRICT", "mode: STRICTLY"))
    reading = read_again(root)

    assert (names(reading), reading.policies.broken) == (["shop"], ())


def test_a_broken_peer_authentication_of_which_nothing_was_kept_is_known(root: Path) -> None:
    """Though other documents of its file were: it must close its doors."""
    write(root, a=documents("a") + "---\n" + STRICT.replace("mode: STRICT", "mode: STRICTLY"))
    kept(root)
    (root / "a.yaml").write_bytes((root / "a.yaml").read_bytes() + b"# \xff")
    reading = read_again(root)

    assert names(reading) == ["a"]
    assert [(broken.kind, broken.name) for broken in reading.policies.broken] == [("PeerAuthentication", "shop")]


def test_what_envoy_refuses_is_not_kept_but_what_stands_in_for_it_is(root: Path) -> None:
    write(root, a=documents("a"))
    keepsakes, good = started(root), read_policies(root)
    keepsakes.keep(good, {})
    write(root, a=documents("a", mark="2"))
    refused = read_policies(root, good)
    keepsakes.keep(refused, {refused.policies.documents[0]: good.policies.documents[0]})
    write(root, a=BROKEN)

    assert marks(read_again(root)) == {"a": "1"}


def test_what_is_refused_after_it_was_kept_is_kept_no_longer(root: Path) -> None:
    write(root, a=documents("a"))
    keepsakes, reading = started(root), read_policies(root)
    keepsakes.keep(reading, {})
    keepsakes.keep(reading, {reading.policies.documents[0]: None})

    assert files(root) == []


def test_the_form_of_before_the_restart_is_found_for_a_document_that_says_something_else(root: Path) -> None:
    write(root, a=documents("a"))
    kept(root)
    (same,) = read_policies(root).policies.documents
    write(root, a=documents("a").replace("- route:", "- timeout: 3s\n    route:"))
    (other,) = read_policies(root).policies.documents
    keepsakes = started(root)
    found = keepsakes.earlier(other)

    assert keepsakes.earlier(same) is None
    assert found is not None
    assert (found.key, found.spec) == (same.key, same.spec)


def test_only_what_changed_is_written(root: Path) -> None:
    write(root, a=documents("a"), b=documents("b"))
    keepsakes, first = started(root), read_policies(root)
    keepsakes.keep(first, {})
    before = {path: path.stat().st_ino for path in files(root)}
    write(root, b=documents("b", mark="2"))
    keepsakes.keep(read_policies(root, first), {})
    kept(root)  # by the next server, which finds all as it is

    assert sum(path.stat().st_ino != before[path] for path in files(root)) == 1


def test_keepsakes_are_readable_for_their_owner_only(root: Path) -> None:
    write(root, a=documents("a"))
    kept(root)
    (file,) = files(root)

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (file, *file.parents[:3])]
    assert modes == [0o600, 0o700, 0o700, 0o700]


def test_a_secret_beside_policies_is_not_kept(root: Path) -> None:
    items = f"{{apiVersion: v1, kind: List, items: [{STRICT_FLOW}, {FOREIGN}]}}\n"
    write(root, a=f"{FOREIGN}\n---\n{documents('a')}---\n{items}")
    reading = kept(root)
    (file,) = files(root)

    assert names(reading) == ["a", "shop"]
    assert b"Secret" not in file.read_bytes()
    assert b"VirtualService" in file.read_bytes()


def test_what_others_could_have_written_is_not_believed(root: Path) -> None:
    write(root, a=documents("a"))
    kept(root)
    files(root)[0].parent.chmod(0o777)
    write(root, a=BROKEN)

    assert names(read_again(root)) == []


def test_a_keepsake_that_makes_no_sense_is_as_good_as_none(root: Path) -> None:
    write(root, a=documents("a"))
    kept(root)
    files(root)[0].write_bytes(files(root)[0].read_bytes()[:50])
    write(root, a=BROKEN)

    assert names(read_again(root)) == []


def test_other_policies_have_other_keepsakes(root: Path) -> None:
    """A server of another directory that shares the state."""
    write(root, a=documents("a"))
    kept(root)

    assert Keepsakes(root.parent / "state", (root.parent / "other",), "default").of("a.yaml") == ()


def test_the_keepsakes_of_many_policies_are_not_piled_up(root: Path) -> None:
    write(root, a=documents("a"))
    for number in range(MOST_ROOTS + 2):
        Keepsakes(root.parent / "state", (Path(f"/{number}"),), "default").keep(read_policies(root), {})

    assert len(files(root)) == MOST_ROOTS


def test_a_full_disk_leaves_the_form_before_it_and_is_made_up_for(root: Path) -> None:
    (state := root.parent / "state").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(state)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        write(root, a=documents("a"))
        keepsakes, first = started(root), read_policies(root)
        assert keepsakes.keep(first, {})
        with pytest.raises(OSError, match="No space left"):
            _write_for_ever(state / "filler")
        write(root, a=documents("a", mark="2"))
        second = read_policies(root, first)

        assert not keepsakes.keep(second, {})
        assert len(keepsakes.of("a.yaml")) == 1
        assert 'mark: "1"' in keepsakes.of("a.yaml")[0].text
        (state / "filler").unlink()
        assert keepsakes.keep(second, {})
        assert 'mark: "2"' in keepsakes.of("a.yaml")[0].text
    finally:
        subprocess.run(["umount", "-l", state], check=True)


def _write_for_ever(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
