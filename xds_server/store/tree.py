"""Which files below a policy root hold policies, and what the file system says of them. Opens none of them.

Hidden names and editors' temporary files are no policies. A link is followed when it stays under its root; the
`..data` links of a Kubernetes ConfigMap are, and the target of each is told so that no mixed state is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from xds_server.problem import Problem, Severity

SUFFIXES = (".yaml", ".yml", ".json")
GENERATION_LINK = "..data"
"""The link that Kubernetes swaps to replace all files of a mounted ConfigMap at once."""
MAX_TOTAL_BYTES = 64 << 20


class Found(NamedTuple):
    """One policy file.

    Attributes:
        where: its path, as the text that the file system gave: making a Path of it costs more than the look itself.
        label: how problems name it: relative to the root where there is one directory, else as the user named it.
        signature: (device, inode, size, mtime, ctime), times in ns; equal while the file system knows of no change.
    """

    where: str
    label: str
    signature: tuple[int, int, int, int, int]

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.where)

    @property
    def size(self) -> int:
        """In bytes."""
        return self.signature[2]


@dataclass(frozen=True, slots=True)
class Tree:
    """What stands below the roots at one moment.

    Attributes:
        files: by label, in the order of labels.
        problems: of links, special files and directories that cannot be followed or listed.
        unseen: labels of files and, with "/" behind them, of directories that are there and that we cannot read.
        generations: target of each GENERATION_LINK, by the directory that holds it.
        missing: roots that are not there or cannot be listed.
    """

    files: dict[str, Found]
    problems: tuple[Problem, ...] = ()
    unseen: tuple[str, ...] = ()
    generations: dict[str, str] = field(default_factory=dict)
    missing: tuple[Path, ...] = ()


def is_policy_name(name: str) -> bool:
    """Whether a file of this name holds policies: no editor's temporary file has such a name."""
    return name.endswith(SUFFIXES) and name[0] not in ".#"


def scan(roots: Sequence[Path]) -> Tree:
    """Everything below the roots; a root may be one file."""
    walk = _Walk()
    missing = tuple(root for root in roots if not _scan_root(walk, root, named=len(roots) > 1))
    return walk.tree(missing)


def look_at(roots: Sequence[Path], path: Path) -> tuple[str, Found | None] | None:
    """(label, the file or None when it is gone) for one path; None when only a scan can tell.

    `path` is spelled as `roots` are: the event of a watcher on `roots`.
    """
    root = next((root for root in roots if path == root or root in path.parents), None)
    if root is None or not is_policy_name(path.name) or any(part[0] == "." for part in path.relative_to(root).parts):
        return None
    label = str(path) if len(roots) > 1 or path == root else path.relative_to(root).as_posix()
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return (label, None) if root != path and root.is_dir() else None
    except OSError:
        return None
    return (label, Found(str(path), label, _signature(status))) if stat.S_ISREG(status.st_mode) else None


def same_generations(tree: Tree) -> bool:
    """Whether no ConfigMap was replaced since `tree` was scanned."""
    return all(_link_target(directory) == target for directory, target in tree.generations.items())


def _scan_root(walk: _Walk, root: Path, *, named: bool) -> bool:
    try:
        status = root.stat()
        if stat.S_ISDIR(status.st_mode):
            walk.directory(str(root), f"{root}/" if named else "", os.path.realpath(root))
        else:
            walk.add(str(root), str(root), os.path.realpath(root), status)
    except OSError:
        return False
    return True


def _signature(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _link_target(directory: str) -> str:
    try:
        return str(Path(directory, GENERATION_LINK).readlink())
    except OSError:
        return ""


class _Walk:
    """One walk over the roots: real files first, links after them, so that a file with two names is read once."""

    def __init__(self) -> None:
        self._files: dict[str, Found] = {}
        self._problems: list[Problem] = []
        self._unseen: list[str] = []
        self._generations: dict[str, str] = {}
        self._seen: set[str] = set()

    def tree(self, missing: tuple[Path, ...]) -> Tree:
        files = dict(sorted(self._files.items()))
        self._cap(files)
        return Tree(files, tuple(self._problems), tuple(self._unseen), self._generations, missing)

    def directory(self, path: str, label: str, real: str) -> None:
        """Walk one root: its path, the label of what stands in it ("" or ending in "/"), and its real path."""
        links = self._real_entries(path, label, real)
        while links:
            link, link_label = links.pop()
            links += self._link(link, link_label, real)

    def add(self, path: str, label: str, real: str, status: os.stat_result) -> None:
        """Take one file, unless it was met under another name."""
        if real in self._seen:
            return
        self._seen.add(real)
        if stat.S_ISREG(status.st_mode):
            self._files[label] = Found(path, label, _signature(status))
        else:
            self._refuse(label, "not-a-file", "is no regular file", "put a regular file in its place")

    def _real_entries(self, path: str, label: str, real: str) -> list[tuple[str, str]]:
        """Take a directory and all below it but links; gives those, as (path, label)."""
        if real in self._seen:
            return []
        self._seen.add(real)
        links = []
        with os.scandir(path) as entries:
            listed = list(entries)
        for entry in listed:
            name = entry.name
            if name[0] == ".":
                if name == GENERATION_LINK and entry.is_symlink():
                    self._generations[path] = _link_target(path)
            elif entry.is_symlink():
                links.append((entry.path, label + name))
            elif entry.is_dir():
                links += self._subdirectory(entry.path, f"{label}{name}/", f"{real}/{name}")
            elif is_policy_name(name):
                self._stat(entry, label + name, f"{real}/{name}")
        return links

    def _subdirectory(self, path: str, label: str, real: str) -> list[tuple[str, str]]:
        try:
            return self._real_entries(path, label, real)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._refuse(label, "unreadable", f"cannot be listed: {error.strerror}", "let the server read it")
            return []

    def _stat(self, entry: os.DirEntry[str] | Path, label: str, real: str) -> None:
        try:
            self.add(os.fspath(entry), label, real, entry.stat())
        except FileNotFoundError:
            return
        except OSError as error:
            self._refuse(label, "unreadable", f"cannot be read: {error.strerror}", "let the server read it")

    def _link(self, path: str, label: str, root: str) -> Iterable[tuple[str, str]]:
        """Follow one link that stays under its root; gives the links below it."""
        real = os.path.realpath(path)
        target = Path(real)
        is_directory = target.is_dir()
        if not is_directory and not is_policy_name(Path(path).name):
            return []
        if real != root and not real.startswith(root + "/"):
            message = "is a link to outside of the policy root, which is not followed"
            self._refuse(label + "/" * is_directory, "link-outside", message, "copy what it points to into the root")
        elif is_directory:
            return self._subdirectory(path, label + "/", real)
        elif not target.exists():
            self._refuse(label, "unreadable", "is a link to nothing", "make the link point to a file, or delete it")
        else:
            self._stat(Path(path), label, real)
        return []

    def _cap(self, files: dict[str, Found]) -> None:
        total = 0
        for label, found in list(files.items()):
            total += found.size
            if total > MAX_TOTAL_BYTES:
                del files[label]
                message = f"all policy files together hold more than {MAX_TOTAL_BYTES >> 20} MiB; this one is not read"
                self._refuse(label, "root-too-large", message, "move what is no policy out of the root")

    def _refuse(self, label: str, code: str, message: str, fix: str) -> None:
        self._unseen.append(label)
        self._problems.append(Problem(label.rstrip("/"), 0, 0, "", "", "", "", Severity.ERROR, code, message, fix))
