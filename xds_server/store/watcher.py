"""Notices that files below the roots changed and says so on the event loop. Carries no content.

Events of the kernel give speed. A scan of what the file system says of every file stands behind them: some mounts
deliver no event, what lies behind a link sends none, and the kernel drops events when it has too many.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from xds_server.store.debounce import Changed
from xds_server.store.tree import Tree, is_policy_name, scan

log = structlog.get_logger()

_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
"""Not DirModifiedEvent: it comes with every temporary file of an editor."""
_NOTHING: frozenset[Path] = frozenset()


class Watcher:
    """Watches roots from `start` to `stop`, with threads of its own.

    Start it before the first reading, so that no change falls between the two.

    Args:
        roots: directories and files, as `read_policies` gets them; they need not be there yet.
        on_change: called on `loop` with the files that may have changed, or None when anything may have.
        loop: the event loop.
        scan_seconds: pause between two scans.
        observer: makes watchdog's observer.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        on_change: Callable[[Changed], None],
        *,
        loop: asyncio.AbstractEventLoop,
        scan_seconds: float = 2.0,
        observer: Callable[[], BaseObserver] = Observer,
    ) -> None:
        self._roots = tuple(roots)
        self._on_change = on_change
        self._loop = loop
        self._scan_seconds = scan_seconds
        self._observer = observer()
        self._watched: dict[Path, _Watched] = {}
        self._lost: set[Path] = set()
        self._stopping = threading.Event()
        self._scanner = threading.Thread(target=self._scan_for_ever, name="policy scan", daemon=True)
        self._tree = Tree({})

    def start(self) -> None:
        """Begin to watch; every change from now on is told."""
        self._tree = scan(self._roots)
        try:
            self._observer.start()
        except OSError as error:
            log.warning("file events unavailable", error=error.strerror, scan_seconds=self._scan_seconds)
        for root in self._roots:
            self._watch_again(root)
        self._scanner.start()

    def stop(self) -> None:
        """End all threads and wait for them; nothing is told afterwards but what the loop has already got."""
        self._stopping.set()
        self._scanner.join()
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def _watch_again(self, root: Path) -> bool:
        """Watch what stands at a root unless it is watched already; whether it was not."""
        there = _identity(root)
        old = self._watched.get(root)
        if not self._observer.is_alive() or (old is None and there is None):
            return False
        # A directory made anew often gets the number of the one deleted before it, so the number alone proves nothing.
        if old is not None and old.identity == there and root not in self._lost:
            return False
        self._lost.discard(root)
        for watch in old.watches if old else ():
            self._observer.unschedule(watch)
        self._watched.pop(root, None)
        if there is not None:
            self._watch(root, there)
        return True

    def _watch(self, root: Path, identity: tuple[int, int]) -> None:
        real = Path(os.path.realpath(root if root.is_dir() else root.parent))
        handler = _Handler(root, real, self._tell, self._lost.add)
        watches = []
        try:
            watches.append(self._observer.schedule(handler, str(real), recursive=root.is_dir(), event_filter=_EVENTS))
            if (
                not root.is_dir()
            ):  # a file mounted by itself sends its events to itself, not to the directory we see it in
                watches.append(self._observer.schedule(handler, str(root.absolute()), event_filter=_EVENTS))
        except OSError as error:
            log.warning(
                "file events unavailable", root=str(root), error=error.strerror, scan_seconds=self._scan_seconds
            )
        self._watched[root] = _Watched(identity, tuple(watches))

    def _scan_for_ever(self) -> None:
        while not self._stopping.wait(self._scan_seconds):
            rewatched = [root for root in self._roots if self._watch_again(root)]
            tree = scan(self._roots)
            changed = None if rewatched else _difference(self._tree, tree)
            self._tree = tree
            if changed != _NOTHING:
                self._tell(changed)

    def _tell(self, changed: Changed) -> None:
        if not self._stopping.is_set():
            self._loop.call_soon_threadsafe(self._on_change, changed)


@dataclass(frozen=True, slots=True)
class _Watched:
    identity: tuple[int, int]
    watches: tuple[ObservedWatch, ...]


class _Handler(FileSystemEventHandler):
    """Tells which files of one root an event may be about; runs in watchdog's thread.

    Args:
        root: as the user named it.
        real: the real directory that is watched: the root, or the one that holds it when it is a file.
        tell: what to do with the files.
        lose: what to do with the root when it is deleted, and its watch with it.
    """

    def __init__(self, root: Path, real: Path, tell: Callable[[Changed], None], lose: Callable[[Path], None]) -> None:
        self._root = root
        self._real = real
        self._about = self._about_directory if root.is_dir() else self._about_file
        self._tell = tell
        self._lose = lose

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog for each event, and for both ends of a move at once."""
        if isinstance(event, DirDeletedEvent) and Path(os.fsdecode(event.src_path)) == self._real:
            self._lose(self._root)
        paths = [Path(os.fsdecode(path)) for path in (event.src_path, event.dest_path) if path]
        abouts = [self._about(path, is_directory=event.is_directory) for path in paths]
        changed = None if None in abouts else _NOTHING.union(*(about for about in abouts if about))
        if changed != _NOTHING:
            self._tell(changed)

    def _about_directory(self, path: Path, *, is_directory: bool) -> Changed:
        """The policy file at `path`; nothing for what is hidden; None when anything may have changed."""
        parts = path.relative_to(self._real).parts
        if not parts or _is_generation(parts):
            return None
        if any(part.startswith(".") for part in parts):
            return _NOTHING
        if is_directory:
            return None
        return frozenset((self._root.joinpath(*parts),)) if is_policy_name(parts[-1]) else _NOTHING

    def _about_file(self, path: Path, *, is_directory: bool) -> Changed:
        """The root, when `path` is it or swaps what it points to; its neighbours are nothing."""
        del is_directory
        if path == self._root.absolute() or path == self._real / self._root.name:
            return frozenset((self._root,))
        return (
            None if path.is_relative_to(self._real) and _is_generation(path.relative_to(self._real).parts) else _NOTHING
        )


def _is_generation(parts: tuple[str, ...]) -> bool:
    """Whether a path belongs to the hidden side of a mounted ConfigMap: `..data` and what it points to."""
    return any(part.startswith("..") for part in parts)


def _identity(root: Path) -> tuple[int, int] | None:
    """(device, inode) of what stands at a root; None when nothing does."""
    try:
        status = root.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _difference(before: Tree, now: Tree) -> Changed:
    """The files that two scans tell different things of; None when more than files changed."""
    if _beside_files(before) != _beside_files(now):
        return None
    if before.files == now.files:
        return _NOTHING
    changed = {
        label for label in before.files.keys() | now.files.keys() if before.files.get(label) != now.files.get(label)
    }
    return frozenset((now.files.get(label) or before.files[label]).path for label in changed)


def _beside_files(tree: Tree) -> tuple[object, ...]:
    """What a scan tells besides files: a link that is gone takes its problem with it, though no file changed."""
    return tree.problems, tree.missing, tree.generations, tree.unseen
