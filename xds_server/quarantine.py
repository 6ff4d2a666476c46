"""Documents that are valid by themselves, and that Envoy refuses all the same: kept out until their text changes.

The last good form of such a document takes its place, the one that was in force before; without one the document is
left out, and known to be: a kind that closes doors must not leave them open by it. Either way everything else is served
as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from xds_server.policy.document import BrokenDocument, Document, PolicySet, as_broken, changes, precedence
from xds_server.problem import Problem, Severity

Key = tuple[str, str, str]
"""What a document is called: see `Document.key`."""


Earlier = Callable[[Document], Document | None]
"""Another form of a document; None when there is none."""


def nothing_earlier(_: Document) -> None:
    """See `Earlier`: where nothing is remembered."""


@dataclass(frozen=True, slots=True)
class Held:
    """A document in quarantine.

    Attributes:
        document: the one that is refused.
        stand_in: what is in force in its place; None leaves it out.
        broken: it, as what is written and of which no form is in force; counts without a stand-in.
    """

    document: Document
    stand_in: Document | None
    problem: Problem
    broken: BrokenDocument


class Quarantine:
    """Which documents are held, and what was in force before.

    Args:
        earlier: a document's form in force before the server started, asked until something is accepted.
    """

    def __init__(self, earlier: Earlier = nothing_earlier) -> None:
        self._earlier = earlier
        self._held: dict[Key, Held] = {}
        self._documents: tuple[Document, ...] = ()
        self._in_force: dict[Key, Document] = {}
        self._former: dict[Key, Document] = {}
        self._since: dict[Key, float] = {}

    @property
    def held(self) -> tuple[Held, ...]:
        """All of them, in order of names."""
        return tuple(self._held[key] for key in sorted(self._held))

    def holds(self, document: Document) -> bool:
        """Whether it is one of them."""
        held = self._held.get(document.key)
        return held is not None and held.document is document

    def applied(self, policies: PolicySet) -> PolicySet:
        """`policies` with stand-ins for what is held; documents whose text has changed are held no more."""
        now = {document.key: document for document in policies.documents} if self._held else {}
        self._held = {key: held for key, held in self._held.items() if now.get(key) is held.document}
        if not self._held:
            return policies
        documents = sorted(self._standing_in(policies.documents), key=precedence)
        problems = sorted((*policies.problems, *(held.problem for held in self._held.values())))
        left_out = (held.broken for _, held in sorted(self._held.items()) if held.stand_in is None)
        return PolicySet(tuple(documents), tuple(problems), (*policies.broken, *left_out))

    def accepted(self, policies: PolicySet, now: float) -> None:
        """These are in force from `now` on (seconds by any clock), as `applied` gave them."""
        gone, come = changes(self._documents, policies.documents)
        new = {document.key: document for document in come}
        for document in gone:
            if document.key in new:
                self._former[document.key] = document
            else:
                self._forget(document.key)
        self._in_force |= new
        self._since |= dict.fromkeys(new, now)
        self._documents = policies.documents

    def changed(self, documents: Iterable[Document]) -> list[Document]:
        """Those of `documents` that are not in force; all of them before the first acceptance."""
        return [document for document in documents if self._in_force.get(document.key) is not document]

    def newest(self, documents: Iterable[Document], not_before: float) -> list[Document]:
        """Those of `documents` that were taken up last, unless that was before `not_before`."""
        taken_up = [(self._since[document.key], document) for document in documents if document.key in self._since]
        last = max((at for at, _ in taken_up), default=not_before)
        return [document for at, document in taken_up if at == last >= not_before]

    def hold(self, document: Document, code: str, reason: str) -> Held | None:
        """Keep `document` out from now on.

        Args:
            document: as the store gave it; if it is held already, its stand-in is no better and goes too.
            code: of the problem.
            reason: who refuses what, and why: one line, without secrets.

        Returns:
            How it was held before, for `restore`; None when it was not.
        """
        former = self._held.get(document.key)
        stand_in = None if former else self._last_good(document)
        problem = _problem(document, code, reason, stand_in)
        self._held[document.key] = Held(document, stand_in, problem, as_broken(document))
        return former

    def restore(self, document: Document, former: Held | None) -> None:
        """It was not to blame: `former` is what `hold` gave."""
        if former is None:
            self._held.pop(document.key, None)
        else:
            self._held[document.key] = former

    def _forget(self, key: Key) -> None:
        for known in (self._in_force, self._former, self._since):
            known.pop(key, None)

    def _last_good(self, document: Document) -> Document | None:
        if not self._documents:
            return self._earlier(document)
        found = self._in_force.get(document.key)
        return self._former.get(document.key) if found is document else found

    def _standing_in(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            held = self._held.get(document.key)
            if held is None:
                yield document
            elif held.stand_in is not None:
                yield held.stand_in


def _problem(document: Document, code: str, reason: str, stand_in: Document | None) -> Problem:
    origin = document.origin
    outcome = "the form before it stays in force" if stand_in else "it is left out"
    message, fix = f"{reason}; {outcome}", "correct it: it is looked at again once its text changes"
    place = origin.file, origin.line, 0, origin.kind, origin.namespace, origin.name, "spec"
    return Problem(*place, Severity.ERROR, code, message, fix)
