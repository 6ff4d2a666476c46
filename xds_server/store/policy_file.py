"""One policy file: what of it is in force now, given what was in force before.

A document that cannot be read keeps its last good form; a file that cannot be read keeps all of its own. An unchanged
document keeps its object, because later steps remember their results by it.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from xds_server.store.file_limits import MAX_FILE_BYTES
from xds_server.store.tree import Found
from xds_server.store.yaml_reader import Source, decode, read_document, split_documents

Key = tuple[str, str, str]
"""(kind, namespace, name) of a document."""

Ranked = tuple[tuple[object, ...], Document]
"""A document behind what it is sorted by: precedence, then place, so that no two are equal."""

Kept = Callable[[str], tuple[Source, ...]]
"""What was in force of a file, by its label, before the server started."""

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
        restored: those of `held` that are from before the server started.
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
    restored: frozenset[Document] = frozenset()

    @property
    def in_force(self) -> dict[Key, Document]:
        """Live and held documents of this file by what they are called; the first of each name."""
        return {document.key: document for _, document in reversed((*self.live, *self.held))}


def nothing_kept(_: str) -> tuple[Source, ...]:
    """See `Kept`: where files are believed as they are."""
    return ()


@dataclass(frozen=True, slots=True)
class Reader:
    """How files are read.

    Attributes:
        default_namespace: of documents that name none.
        grace: seconds for which a file that shrank in place to its own beginning counts as half-written.
        now: wall clock, in seconds since 1970, at the start of this reading.
        earlier: every document in force before this reading, by what it is called.
        kept: asked for a file that is new to us and broken.
    """

    default_namespace: str
    grace: float
    now: float
    earlier: Mapping[Key, Document]
    kept: Kept = nothing_kept

    def read(self, found: Found, before: PolicyFile | None) -> PolicyFile | None:
        """The file now; None when it is gone after all."""
        now = self._read(found, before)
        if before is None and now is not None and _is_in_doubt(now) and (restored := self._restored(found)):
            return self._read(found, restored)
        return now

    def _restored(self, found: Found) -> PolicyFile | None:
        """The file as it was before the server started, as far as that is valid today; None when nothing is."""
        read = {source: pieces_of(source, found.label, self.default_namespace) for source in self.kept(found.label)}
        pieces = {source: stretch for source, stretch in read.items() if all(piece.document for piece in stretch)}
        documents = [piece.document for stretch in pieces.values() for piece in stretch if piece.document]
        if not documents:
            return None
        nowhere = found._replace(signature=(0, 0, 0, 0, 0))
        return PolicyFile(nowhere, False, pieces, {}, ranked(documents), (), (), restored=frozenset(documents))

    def _read(self, found: Found, before: PolicyFile | None) -> PolicyFile | None:
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
            return self._without_text(found, before, text, content)
        if before is not None and self._half_written(found, before, text):
            problem = _problem(found, "half-written", "the file has lost its end a moment ago", "none is needed")
            kept = self._kept(found, before, dataclasses.replace(problem, severity=Severity.NOTE))
            return dataclasses.replace(kept, unsettled=True)
        return self._taken(found, before, text)

    def _without_text(self, found: Found, before: PolicyFile | None, problem: Problem, content: bytes) -> PolicyFile:
        """Bytes that are no text; what was broken before the server started is not known, and made out of them."""
        kept = self._kept(found, before, problem)
        if kept.broken or (kept.held and not kept.restored):
            return kept
        return dataclasses.replace(kept, broken=_made_out(content, found, kept.restored))

    def _half_written(self, found: Found, before: PolicyFile, text: str) -> bool:
        """Truncated and written anew in place (nano, cp, a bind mount), and caught between the two."""
        if found.signature[:2] != before.found.signature[:2] or self.now - found.signature[3] / 1e9 > self.grace:
            return False
        last = "".join(source.text for source in before.pieces)
        return len(text) < len(last) and last.startswith(text)

    def _kept(self, found: Found, before: PolicyFile | None, problem: Problem) -> PolicyFile:
        """The file as it was, with all of its documents held, and those that never were good still known."""
        held = ranked(before.in_force.values()) if before else ()
        restored = before.restored if before else frozenset()
        return PolicyFile(
            found=found,
            trusted=False,
            pieces=before.pieces if before else {},
            spare=before.spare if before else {},
            live=(),
            held=held,
            problems=(_told(problem, [document for _, document in held], restored),),
            broken=before.broken if before else (),
            restored=restored,
        )

    def _taken(self, found: Found, before: PolicyFile | None, text: str) -> PolicyFile:
        known = {**before.spare, **before.pieces} if before else {}
        pieces = {
            source: known[source] if source in known else pieces_of(source, found.label, self.default_namespace)
            for source in split_documents(text)
        }
        every = [piece for stretch in pieces.values() for piece in stretch]
        valid = [piece.document for piece in every if piece.document]
        failed = [piece for piece in every if piece.failed]
        held = self._held(failed, before.in_force if before else {}, {document.key for document in valid})
        restored = before.restored.intersection(held.values()) if before else frozenset()
        problems = [problem for piece in every for problem in _problems(piece, held, restored)]
        return PolicyFile(
            found=found,
            trusted=self.now - found.signature[3] / 1e9 > RACY_SECONDS,
            pieces=pieces,
            spare={source: stretch for source, stretch in known.items() if _holds_any(stretch, held)},
            live=ranked(valid),
            held=ranked(held.values()),
            problems=tuple(sorted(problems)),
            broken=tuple(piece.broken for piece in failed if piece.broken and not _is_held(piece, held)),
            restored=restored,
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


def pieces_of(source: Source, label: str, default_namespace: str) -> tuple[Piece, ...]:
    """What one stretch of a file's YAML gives; `label` is the file's."""
    raw = read_document(source, label)
    if isinstance(raw, Problem):
        return (Piece(None, None, (raw,), broken_text(source.text, label, source.line)),)
    return tuple(_piece(one, default_namespace) for one in unfolded(raw)) if raw else ()


def _piece(raw: RawDocument, default_namespace: str) -> Piece:
    document, problems = parse_document(raw, default_namespace)
    if document is not None:
        return Piece(document, None, problems)
    return Piece(None, identify(raw, default_namespace), problems, broken_document(raw, default_namespace))


def _is_in_doubt(file: PolicyFile) -> bool:
    """Whether a file says less than somebody may have meant."""
    return not any(file.pieces.values()) or any(problem.severity is Severity.ERROR for problem in file.problems)


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


def _made_out(content: bytes, found: Found, held: Iterable[Document]) -> tuple[BrokenDocument, ...]:
    """What can be made out of bytes that are no text, but for that of which a form is held."""
    known = {(document.kind, name) for document in held for name in (document.name, "")}
    sources = split_documents(content.decode(errors="replace"))
    broken = (broken_text(source.text, found.label, source.line) for source in sources)
    return tuple(one for one in broken if one is not None and (one.kind, one.name) not in known)


def _problem(found: Found, code: str, message: str, fix: str) -> Problem:
    return Problem(found.label, 0, 0, "", "", "", "", Severity.ERROR, code, message, fix)


def _problems(piece: Piece, held: Mapping[Key, Document], restored: frozenset[Document]) -> Iterator[Problem]:
    if piece.document is not None:
        yield from {*piece.problems, *piece.document.problems}
        return
    kept = [document for key, document in held.items() if piece.key in (None, key)]
    for problem in piece.problems:
        yield _told(problem, kept, restored) if problem.severity is Severity.ERROR else problem


def _told(problem: Problem, kept: Sequence[Document], restored: frozenset[Document]) -> Problem:
    """The problem with what it means for what is in force, which is `kept`."""
    outcome = "the last good form stays in force"
    if not kept:
        outcome = "there is no earlier good form, so it is not in force"
    elif not restored.isdisjoint(kept):
        outcome = "its last good form, of before the restart, stays in force"
    return dataclasses.replace(problem, message=f"{problem.message}; {outcome}")


def ranked(documents: Iterable[Document]) -> tuple[Ranked, ...]:
    """Documents with their ranks; of two with one name the first in rank is in force."""
    return tuple(
        ((*precedence(document), document.kind, document.origin.file, document.origin.line), document)
        for document in documents
    )
