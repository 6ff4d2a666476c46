"""One policy file: what of it is in force now, given what was in force before.

A document that cannot be read keeps its last good form; a file that cannot be read keeps all of its own. An unchanged
document keeps its object, because later steps remember their results by it.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from xds_server.policy.document import (
    BrokenDocument,
    Document,
    RawDocument,
    broken_document,
    broken_text,
    identify,
    parse_document,
    precedence,
    unfolded,
)
from xds_server.problem import Problem, Severity
from xds_server.store.tree import Found
from xds_server.store.yaml_reader import MAX_FILE_BYTES, Source, decode, read_document, split_documents

Key = tuple[str, str, str]
"""(kind, namespace, name) of a document."""

Ranked = tuple[tuple[object, ...], Document]
"""A document behind what it is sorted by: precedence, then place, so that no two are equal."""

RACY_SECONDS = 2.0
"""A file changed more recently than this before it was read may have changed again with the same time stamp."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one document gave; a stretch of YAML holds one, or none, or those of a List.

    Attributes:
        document: None when it is not valid, or no policy at all.
        key: what an invalid document is called; None when nobody can tell.
        problems: as found, without a word on what stays in force.
        broken: what can be made out of an invalid document.
    """

    document: Document | None
    key: Key | None
    problems: tuple[Problem, ...]
    broken: BrokenDocument | None = None

    @property
    def failed(self) -> bool:
        """Whether it is a policy that cannot be taken. A Deployment beside the policies is none, and fine."""
        return self.document is None and any(problem.severity is Severity.ERROR for problem in self.problems)


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """What is known of one file.

    Attributes:
        found: the file as it was when it was read.
        trusted: an equal signature proves that it did not change since.
        pieces: the documents of the last text that was taken, in order.
        spare: the pieces of held documents, so that an undone edit gives back the same objects.
        live: the valid documents of that text, each behind its `rank`.
        held: last good forms of documents that stand in the file in no valid form.
        problems: of the file and its documents, sorted.
        unsettled: it looks half-written; to be read again soon, whatever the watcher says.
        broken: invalid documents of that text of which no form is held.
    """

    found: Found
    trusted: bool
    pieces: dict[Source, tuple[Piece, ...]]
    spare: dict[Source, tuple[Piece, ...]]
    live: tuple[Ranked, ...]
    held: tuple[Ranked, ...]
    problems: tuple[Problem, ...]
    unsettled: bool = False
    broken: tuple[BrokenDocument, ...] = ()

    @property
    def in_force(self) -> dict[Key, Document]:
        """Live and held documents of this file by what they are called; the first of each name."""
        return {document.key: document for _, document in reversed((*self.live, *self.held))}


@dataclass(frozen=True, slots=True)
class Reader:
    """How files are read.

    Attributes:
        default_namespace: of documents that name none.
        grace: seconds for which a file that shrank in place to its own beginning counts as half-written.
        now: wall clock, in seconds since 1970, at the start of this reading.
        earlier: every document in force before this reading, by what it is called.
    """

    default_namespace: str
    grace: float
    now: float
    earlier: Mapping[Key, Document]

    def read(self, found: Found, before: PolicyFile | None) -> PolicyFile | None:
        """The file now; None when it is gone after all."""
        try:
            content = _content(found)
        except FileNotFoundError:
            return None
        except OSError as error:
            fix = "let the server read the file"
            return self._kept(found, before, _problem(found, "unreadable", f"cannot be read: {error.strerror}", fix))
        if not content and before is not None and (before.in_force or before.broken):
            problem = _problem(
                found, "file-empty", "the file is empty, as if half-written", "delete it to delete its policies"
            )
            return self._kept(found, before, dataclasses.replace(problem, severity=Severity.WARNING))
        text = decode(content, found.label)
        if isinstance(text, Problem):
            kept = self._kept(found, before, text)
            return kept if kept.held or kept.broken else dataclasses.replace(kept, broken=_made_out(content, found))
        if before is not None and self._half_written(found, before, text):
            problem = _problem(found, "half-written", "the file has lost its end a moment ago", "none is needed")
            kept = self._kept(found, before, dataclasses.replace(problem, severity=Severity.NOTE))
            return dataclasses.replace(kept, unsettled=True)
        return self._taken(found, before, text)

    def _half_written(self, found: Found, before: PolicyFile, text: str) -> bool:
        """Truncated and written anew in place (nano, cp, a bind mount), and caught between the two."""
        if found.signature[:2] != before.found.signature[:2] or self.now - found.signature[3] / 1e9 > self.grace:
            return False
        last = "".join(source.text for source in before.pieces)
        return len(text) < len(last) and last.startswith(text)

    def _kept(self, found: Found, before: PolicyFile | None, problem: Problem) -> PolicyFile:
        """The file as it was, with all of its documents held, and those that never were good still known."""
        held = ranked(before.in_force.values()) if before else ()
        return PolicyFile(
            found=found,
            trusted=False,
            pieces=before.pieces if before else {},
            spare=before.spare if before else {},
            live=(),
            held=held,
            problems=(_told(problem, bool(held)),),
            broken=before.broken if before else (),
        )

    def _taken(self, found: Found, before: PolicyFile | None, text: str) -> PolicyFile:
        known = {**before.spare, **before.pieces} if before else {}
        pieces = {
            source: known[source] if source in known else self._pieces(source, found.label)
            for source in split_documents(text)
        }
        every = [piece for stretch in pieces.values() for piece in stretch]
        valid = [piece.document for piece in every if piece.document]
        failed = [piece for piece in every if piece.failed]
        held = self._held(failed, before.in_force if before else {}, {document.key for document in valid})
        problems = [problem for piece in every for problem in _problems(piece, held)]
        return PolicyFile(
            found=found,
            trusted=self.now - found.signature[3] / 1e9 > RACY_SECONDS,
            pieces=pieces,
            spare={source: stretch for source, stretch in known.items() if _holds_any(stretch, held)},
            live=ranked(valid),
            held=ranked(held.values()),
            problems=tuple(sorted(problems)),
            broken=tuple(piece.broken for piece in failed if piece.broken and not _is_held(piece, held)),
        )

    def _pieces(self, source: Source, label: str) -> tuple[Piece, ...]:
        raw = read_document(source, label)
        if isinstance(raw, Problem):
            return (Piece(None, None, (raw,), broken_text(source.text, label, source.line)),)
        return tuple(self._piece(one) for one in unfolded(raw)) if raw else ()

    def _piece(self, raw: RawDocument) -> Piece:
        document, problems = parse_document(raw, self.default_namespace)
        if document is not None:
            return Piece(document, None, problems)
        return Piece(
            None, identify(raw, self.default_namespace), problems, broken_document(raw, self.default_namespace)
        )

    def _held(self, failed: list[Piece], own: dict[Key, Document], live: set[Key]) -> dict[Key, Document]:
        """The last good forms that stay, because the file holds something that cannot be taken.

        A document that nobody can name may be any of those that the file no longer holds: all of them stay.
        """
        names = (
            own.keys() if any(piece.key is None for piece in failed) else {piece.key for piece in failed if piece.key}
        )
        known = {**self.earlier, **own}
        return {key: known[key] for key in sorted(names) if key in known and key not in live}


def _is_held(piece: Piece, held: Mapping[Key, Document]) -> bool:
    """Whether an invalid document has a last good form; one without a name may be any of its kind."""
    if piece.key is not None:
        return piece.key in held
    return any(piece.broken is not None and kind == piece.broken.kind for kind, _, _ in held)


def _content(found: Found) -> bytes:
    """The bytes of a file, or one more than is allowed; never waits for a pipe that took the file's place."""
    descriptor = os.open(found.where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "no regular file")
        return file.read(MAX_FILE_BYTES + 1)


def _holds_any(stretch: Iterable[Piece], held: Mapping[Key, Document]) -> bool:
    return any(piece.document is not None and held.get(piece.document.key) is piece.document for piece in stretch)


def _made_out(content: bytes, found: Found) -> tuple[BrokenDocument, ...]:
    """What can be made out of bytes that are no text."""
    sources = split_documents(content.decode(errors="replace"))
    broken = (broken_text(source.text, found.label, source.line) for source in sources)
    return tuple(one for one in broken if one is not None)


def _problem(found: Found, code: str, message: str, fix: str) -> Problem:
    return Problem(found.label, 0, 0, "", "", "", "", Severity.ERROR, code, message, fix)


def _problems(piece: Piece, held: Mapping[Key, Document]) -> Iterator[Problem]:
    if piece.document is not None:
        yield from {*piece.problems, *piece.document.problems}
        return
    kept = bool(held) if piece.key is None else piece.key in held
    for problem in piece.problems:
        yield _told(problem, kept) if problem.severity is Severity.ERROR else problem


def _told(problem: Problem, kept: bool) -> Problem:
    """The problem with what it means for what is in force."""
    outcome = "the last good form stays in force" if kept else "there is no earlier good form, so it is not in force"
    return dataclasses.replace(problem, message=f"{problem.message}; {outcome}")


def ranked(documents: Iterable[Document]) -> tuple[Ranked, ...]:
    """Documents with their ranks; of two with one name the first in rank is in force."""
    return tuple(
        ((*precedence(document), document.kind, document.origin.file, document.origin.line), document)
        for document in documents
    )
