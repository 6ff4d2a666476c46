"""A change below a root is told on the loop, by events of the kernel or by the scan behind them.

The second half drives everything a store is made of (watcher, debounce, reading) with the ways in which editors and
deployments write files: each ends as one settled reading, and no reading on the way loses a document.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, EventEmitter

from tests.patience import PATIENCE
from tests.store.policies import documents, marks, names, write
from xds_server.store.debounce import Changed, Changes, Debounce
from xds_server.store.directory import Reading, read_policies
from xds_server.store.watcher import Watcher

NEVER = 3600.0
"""Seconds between scans in tests of events."""
OFTEN = 0.02
"""Seconds between scans in tests of scans."""


class Deaf(BaseObserver):
    """A kernel without free watches: each is refused as inotify refuses it."""

    def __init__(self) -> None:
        super().__init__(EventEmitter)

    def start(self) -> None:
        """Refuse."""
        raise OSError(errno.EMFILE, "inotify instance limit reached")


@asynccontextmanager
async def watching(
    *roots: Path, scan_seconds: float, observer: Callable[[], BaseObserver] = Observer
) -> AsyncIterator[asyncio.Queue[Changed]]:
    """What a watcher tells, while the block runs."""
    told: asyncio.Queue[Changed] = asyncio.Queue()
    watcher = Watcher(
        roots, told.put_nowait, loop=asyncio.get_running_loop(), scan_seconds=scan_seconds, observer=observer
    )
    watcher.start()
    try:
        yield told
    finally:
        watcher.stop()


async def told_of(told: asyncio.Queue[Changed], path: Path) -> None:
    """Wait until `path`, or everything, is told to have changed."""
    async with asyncio.timeout(PATIENCE):
        while (changed := await told.get()) is not None and path not in changed:
            pass


async def told_of_everything(told: asyncio.Queue[Changed]) -> None:
    async with asyncio.timeout(PATIENCE):
        while await told.get() is not None:
            pass


async def test_a_written_file_is_named(tmp_path: Path) -> None:
    async with watching(tmp_path, scan_seconds=NEVER) as told:
        write(tmp_path, a="a: 1")

        async with asyncio.timeout(PATIENCE):
            assert await told.get() == frozenset({tmp_path / "a.yaml"})


async def test_what_is_no_policy_is_not_told(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    async with watching(tmp_path, scan_seconds=NEVER) as told:
        for name in (".git/index", "a.yaml~", "4913", ".a.yaml.swp", "readme.md", "last.yaml"):
            (tmp_path / name).touch()

        async with asyncio.timeout(PATIENCE):
            assert await told.get() == frozenset({tmp_path / "last.yaml"})


async def test_both_ends_of_a_rename_are_named(tmp_path: Path) -> None:
    write(tmp_path, a="a: 1")
    async with watching(tmp_path, scan_seconds=NEVER) as told:
        (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")

        async with asyncio.timeout(PATIENCE):
            assert await told.get() == frozenset({tmp_path / "a.yaml", tmp_path / "b.yaml"})


async def test_a_new_directory_may_hold_anything(tmp_path: Path) -> None:
    async with watching(tmp_path, scan_seconds=NEVER) as told:
        (tmp_path / "sub").mkdir()

        await told_of_everything(told)


async def test_a_file_in_a_new_directory_is_named(tmp_path: Path) -> None:
    async with watching(tmp_path, scan_seconds=NEVER) as told:
        (tmp_path / "sub").mkdir()
        await told_of_everything(told)
        write(tmp_path / "sub", a="a: 1")

        await told_of(told, tmp_path / "sub" / "a.yaml")


async def test_a_swapped_config_map_may_change_anything(tmp_path: Path) -> None:
    async with watching(tmp_path, scan_seconds=NEVER) as told:
        (tmp_path / "..data_tmp").symlink_to("..1")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

        await told_of_everything(told)


async def test_a_root_behind_a_link_is_watched_and_named_as_the_user_does(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    async with watching(tmp_path / "root", scan_seconds=NEVER) as told:
        write(tmp_path / "real", a="a: 1")

        await told_of(told, tmp_path / "root" / "a.yaml")


async def test_a_single_file_is_watched_without_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, a="a: 1")
    async with watching(tmp_path / "a.yaml", scan_seconds=NEVER) as told:
        write(tmp_path, b="b: 1", a="a: 2")

        async with asyncio.timeout(PATIENCE):
            assert await told.get() == frozenset({tmp_path / "a.yaml"})


async def test_a_single_file_that_is_replaced_is_told(tmp_path: Path) -> None:
    write(tmp_path, a="a: 1")
    async with watching(tmp_path / "a.yaml", scan_seconds=NEVER) as told:
        write(tmp_path, new="a: 2")
        (tmp_path / "new.yaml").rename(tmp_path / "a.yaml")

        await told_of(told, tmp_path / "a.yaml")


async def test_a_mount_without_events_is_scanned(tmp_path: Path) -> None:
    write(tmp_path, a="a: 1")
    async with watching(tmp_path, scan_seconds=OFTEN, observer=Deaf) as told:
        write(tmp_path, a="a: 22")

        await told_of(told, tmp_path / "a.yaml")


async def test_a_file_behind_a_link_is_scanned(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    write(tmp_path / ".hidden", a="a: 1")
    (tmp_path / "a.yaml").symlink_to(".hidden/a.yaml")
    async with watching(tmp_path, scan_seconds=OFTEN) as told:
        write(tmp_path / ".hidden", a="a: 22")

        await told_of(told, tmp_path / "a.yaml")


async def test_a_link_to_outside_that_is_gone_is_told(tmp_path: Path) -> None:
    """No file changed with it, but there is one problem less."""
    (tmp_path / "out").symlink_to("/etc")
    async with watching(tmp_path, scan_seconds=OFTEN, observer=Deaf) as told:
        (tmp_path / "out").unlink()

        await told_of_everything(told)


async def test_missing_events_are_logged(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with watching(tmp_path, scan_seconds=NEVER, observer=Deaf):
            pass

    assert [(entry["event"], entry["error"]) for entry in logs] == [
        ("file events unavailable", "inotify instance limit reached")
    ]


async def test_a_root_that_comes_back_is_watched_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    async with watching(root, scan_seconds=OFTEN) as told:
        root.rmdir()
        await told_of_everything(told)
        root.mkdir()
        await told_of_everything(told)
        write(root, a="a: 1")

        await told_of(told, root / "a.yaml")


async def test_a_stopped_watcher_leaves_no_thread_of_its_own(tmp_path: Path) -> None:
    async with watching(tmp_path, scan_seconds=NEVER):
        write(tmp_path, a="a: 1")

    assert not [thread.name for thread in threading.enumerate() if thread.name == "policy scan"]


class Store:
    """Watcher, debounce and reading together, as the server runs them; keeps every reading that gave new policies."""

    def __init__(self, root: Path, changes: Changes) -> None:
        self.root = root
        self.changes = changes
        self.readings = [read_policies(root)]

    async def until(self, wanted: dict[str, str]) -> list[Reading]:
        """Read at each quiet moment until these documents are in force; gives all readings that changed something."""
        async with asyncio.timeout(PATIENCE):
            while marks(self.readings[-1]) != wanted or self.readings[-1].unsettled:
                changed = await self.changes.settled()
                reading = read_policies(self.root, self.readings[-1], changed=changed)
                if reading.policies is not self.readings[-1].policies:
                    self.readings.append(reading)
                if reading.unsettled:
                    asyncio.get_running_loop().call_later(0.5, self.changes.notice, reading.unsettled)
        return self.readings


@asynccontextmanager
async def store(root: Path) -> AsyncIterator[Store]:
    loop = asyncio.get_running_loop()
    changes = Changes(Debounce(quiet=0.1, ceiling=10), loop.time)
    watcher = Watcher([root], changes.notice, loop=loop, scan_seconds=NEVER)
    watcher.start()
    try:
        yield Store(root, changes)
    finally:
        watcher.stop()


def vim(path: Path, text: str) -> None:
    """With `backup` off: a probe, the old file moved aside, the new one written, the old one deleted."""
    (path.parent / "4913").touch()
    (path.parent / "4913").unlink()
    path.rename(f"{path}~")
    path.write_text(text)
    Path(f"{path}~").unlink()


def nano(path: Path, text: str) -> None:
    """Truncates and writes in place, in two parts."""
    with path.open("w") as file:
        file.write(text[: len(text) // 2])
        file.flush()
        file.write(text[len(text) // 2 :])


def sed(path: Path, text: str) -> None:
    """The real one."""
    mark = text.partition('mark: "')[2][0]
    subprocess.run(["sed", "-i", f's/mark: "."/mark: "{mark}"/', str(path)], check=True)


def rsync(path: Path, text: str) -> None:
    """A hidden temporary file, renamed over the old one."""
    temporary = path.with_name(f".{path.name}.Xy12Zw")
    temporary.write_text(text)
    temporary.rename(path)


def emacs(path: Path, text: str) -> None:
    """A dangling link as the lock, an autosave, a backup, then a write in place."""
    lock = path.with_name(f".#{path.name}")
    lock.symlink_to("me@host.1:2")
    path.with_name(f"#{path.name}#").write_text(text[:10])
    shutil.copy(path, f"{path}~")
    path.write_text(text)
    path.with_name(f"#{path.name}#").unlink()
    lock.unlink()


def delete_and_create(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize("save", [vim, nano, sed, rsync, emacs, delete_and_create])
async def test_each_way_to_save_a_file_is_one_clean_change(tmp_path: Path, save: Callable[[Path, str], None]) -> None:
    write(tmp_path, a=documents("a", "b"), c=documents("c"))
    async with store(tmp_path) as watched:
        save(tmp_path / "a.yaml", documents("a", "b", mark="2"))
        readings = await watched.until({"a": "2", "b": "2", "c": "1"})

    assert [names(reading) for reading in readings] == [["a", "b", "c"]] * 2


async def test_a_bind_mounted_file_written_in_place_is_one_clean_change(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"))
    async with store(tmp_path / "a.yaml") as watched:
        nano(tmp_path / "a.yaml", documents("a", "b", mark="2"))
        readings = await watched.until({"a": "2", "b": "2"})

    assert len(readings) == 2


async def test_a_checkout_of_many_files_is_one_clean_change(tmp_path: Path) -> None:
    """What git does: each file deleted and created anew, directories with them."""
    every = [f"n{number:02}" for number in range(40)]
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub", **{name: documents(name) for name in every})
    async with store(tmp_path) as watched:
        shutil.rmtree(tmp_path / "sub")
        (tmp_path / "other").mkdir()
        write(tmp_path / "other", **{name: documents(name, mark="2") for name in every})
        readings = await watched.until(dict.fromkeys(every, "2"))

    assert [names(reading) for reading in readings] == [every] * 2


async def test_a_swapped_link_is_one_clean_change(tmp_path: Path) -> None:
    for mark in ("1", "2"):
        (tmp_path / f"..{mark}").mkdir()
        write(tmp_path / f"..{mark}", a=documents("a", "b", mark=mark), c=documents("c", mark=mark))
    (tmp_path / "..data").symlink_to("..1")
    for name in ("a.yaml", "c.yaml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    async with store(tmp_path) as watched:
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        shutil.rmtree(tmp_path / "..1")
        readings = await watched.until({"a": "2", "b": "2", "c": "2"})

    assert [marks(reading) for reading in readings] == [dict.fromkeys("abc", mark) for mark in ("1", "2")]


async def test_a_file_caught_half_written_loses_nothing_and_settles(tmp_path: Path) -> None:
    write(tmp_path, a=documents("a", "b"))
    async with store(tmp_path) as watched:
        write(tmp_path, a=documents("a") + "---\n")
        readings = await watched.until({"a": "1"})

    assert [names(reading) for reading in readings] == [["a", "b"], ["a", "b"], ["a"]]
