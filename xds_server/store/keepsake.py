"""The last good text of each policy file on disk: a server killed while a file is broken would start without it.

Kept is what came into force, document by document, and only text that is policies through and through: whatever else
stands in the same YAML document may be secret. A keepsake that cannot be written or read is as good as none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import structlog
from pydantic import TypeAdapter, ValidationError

from xds_server.policy.document import Document
from xds_server.store.directory import Reading
from xds_server.store.policy_file import PolicyFile, pieces_of
from xds_server.store.yaml_reader import Source

log = structlog.get_logger(__name__)

MOST_ROOTS = 16
"""Sets of policy roots whose keepsakes stay; those used longest ago go first."""
_OTHERS_WRITE = 0o022

StandIns = Mapping[Document, Document | None]
"""Documents that Envoy refuses, each with what is in force in its place; None where nothing is."""


@dataclass(frozen=True, slots=True)
class _Keepsake:
    """What is on disk for one policy file."""

    file: str
    documents: tuple[Source, ...]


_FORM = TypeAdapter(_Keepsake)


class Keepsakes:
    """Those of one set of policy roots, each policy file's in a file of its own. For one writer at a time.

    Args:
        state_dir: the server's; they lie in `policies/` below it, apart for each set of roots.
        roots: whose files they are of.
        default_namespace: of documents that name none.
    """

    def __init__(self, state_dir: Path, roots: Sequence[Path], default_namespace: str) -> None:
        self._all = state_dir / "policies"
        self._directory = self._all / _name("\n".join(str(root.absolute()) for root in roots))
        self._default_namespace = default_namespace
        self._sources: WeakKeyDictionary[Document, Source] = WeakKeyDictionary()
        self._written: dict[str, PolicyFile] = {}
        self._stand_ins: dict[Document, Document | None] = {}
        self._is_tidy = False

    def of(self, label: str) -> tuple[Source, ...]:
        """The documents kept of one policy file; () when none are, or none that can be believed."""
        try:
            if not _is_private(self._directory):
                return ()
            found = _FORM.validate_json(self._path(label).read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            log.warning("last good form not restored", file=label, error=str(error))
            return ()
        return found.documents if found.file == label else ()

    def earlier(self, document: Document) -> Document | None:
        """The form kept of a document; None when there is none, or none that says something else."""
        label = document.origin.file
        for source in self.of(label):
            for piece in pieces_of(source, label, self._default_namespace):
                found = piece.document
                if found is not None and found.key == document.key and found.spec != document.spec:
                    self._sources[found] = source
                    return found
        return None

    def keep(self, reading: Reading, stand_ins: StandIns) -> bool:
        """Have on disk what is in force by `reading`; blocks. Only what changed since the last time is looked at.

        Args:
            reading: what came into force, but for
            stand_ins: what of it Envoy refuses.

        Returns:
            Whether all is written. What is not, is the next time; until then the form before it is kept.
        """
        try:
            self._tidy(reading)
            self._forget(self._written.keys() - reading.files.keys())
            self._write_changed(reading.files, stand_ins)
        except OSError as error:
            log.warning("last good forms not kept for the next start", error=str(error))
            self._written.clear()
            self._is_tidy = False
            return False
        return True

    def _write_changed(self, files: Mapping[str, PolicyFile], stand_ins: StandIns) -> None:
        judged = {document.origin.file for document, _ in self._stand_ins.items() ^ stand_ins.items()}
        for label in judged:
            self._written.pop(label, None)
        self._stand_ins = dict(stand_ins)
        for label, file in files.items():
            if self._written.get(label) is not file:
                self._learn(file)
                self._write(label, self._good(file, stand_ins))
                self._written[label] = file

    def _learn(self, file: PolicyFile) -> None:
        """Which text each document is from; none of a text that holds anything else."""
        for source, stretch in (*file.spare.items(), *file.pieces.items()):
            documents = [piece.document for piece in stretch if piece.document is not None]
            if len(documents) == len(stretch):
                self._sources.update((document, source) for document in documents)

    def _good(self, file: PolicyFile, stand_ins: StandIns) -> tuple[Source, ...]:
        """The texts of what is in force of a file."""
        refused = {self._sources.get(document) for document in stand_ins}
        in_force = (stand_ins.get(document, document) for document in file.in_force.values())
        sources = {self._sources.get(document) for document in in_force if document is not None}
        return tuple(sorted((one for one in sources - refused if one), key=lambda one: (one.line, one.text)))

    def _write(self, label: str, documents: tuple[Source, ...]) -> None:
        path, content = self._path(label), _FORM.dump_json(_Keepsake(label, documents))
        if not documents:
            path.unlink(missing_ok=True)
        elif not _holds(path, content):
            _replace(path, content)

    def _forget(self, labels: Iterable[str]) -> None:
        for label in labels:
            self._path(label).unlink(missing_ok=True)
            del self._written[label]

    def _tidy(self, reading: Reading) -> None:
        """At first: a private directory, without what a killed server left and what was deleted in the meantime."""
        if self._is_tidy:
            return
        self._all.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for directory in (self._all, self._directory):
            directory.mkdir(exist_ok=True, mode=0o700)
            directory.chmod(0o700)
        os.utime(self._directory)
        used = sorted(self._all.iterdir(), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in used[MOST_ROOTS:]:
            shutil.rmtree(old, ignore_errors=True)
        if not reading.tree_problems:  # else some files may only be out of sight
            present = {self._path(label).name for label in reading.files}
            for path in self._directory.iterdir():
                if path.name not in present:
                    path.unlink(missing_ok=True)
        self._is_tidy = True

    def _path(self, label: str) -> Path:
        return self._directory / f"{_name(label)}.kept"


def _name(text: str) -> str:
    """A file name for any text; with its ending, of no policy file: the state may lie below the policies."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:32]


def _is_private(directory: Path) -> bool:
    """Whether nobody else can have put something there."""
    status = directory.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all, readable for us only."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
