"""Who is kept out while Envoy is asked which documents are at fault, and who of them may come back.

The suspects of a refused unit are kept out one after the other, the likeliest first, until Envoy takes it. Then one
after the other is let back in, the least likely first: whoever is refused again stays out, and nobody else. None is
tried alone: without a MeshConfig that defines a log, or without the service itself, nothing is left of what others say
wrongly, so that the document that means most would be blamed for two that mean little.

A suspect costs two questions at most; one that is refused again a third, to which the answer is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from xds_server.blame import MOST_SUSPECTS, suspects
from xds_server.policy.document import Document
from xds_server.quarantine import Held, Quarantine
from xds_server.translate.unit import UnitKind
from xds_server.validation.validator import Refused


@dataclass(slots=True)
class _Case:
    """One unit that was refused, or several of one name: workloads may see different ones.

    Attributes:
        tried: who was kept out so far.
        kept_out: who is at the moment, in order, and how each was held before.
        let_back: who is back in for Envoy to say.
        convicted: who was, and was refused.
    """

    tried: set[Document] = field(default_factory=set)
    kept_out: dict[Document, Held | None] = field(default_factory=dict)
    let_back: Document | None = None
    convicted: set[Document] = field(default_factory=set)

    def doubtful(self) -> Document | None:
        """Who may be let back in: not the last one, without whom it was refused."""
        *others, _ = self.kept_out or (None,)
        return next((one for one in reversed(others) if one not in self.convicted), None)


class Cases:
    """The units refused in one admission."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._cases: dict[tuple[UnitKind, str], _Case] = {}

    def try_next(self, refused: Refused, documents: Iterable[Document]) -> bool:
        """Keep out one more of whom to blame for a unit, MOST_SUSPECTS at most; False when nobody is left.

        Args:
            refused: by Envoy.
            documents: as the store gave them.
        """
        case = self._cases.setdefault((refused.unit.kind, refused.unit.name), _Case())
        suspected = suspects(refused.unit.origins, documents, self._quarantine)
        blamed = next((document for document in suspected if document not in case.tried), None)
        if blamed is None or len(case.tried) == MOST_SUSPECTS:
            return False
        case.tried.add(blamed)
        case.kept_out[blamed] = self._hold(blamed, refused)
        return True

    def give_up(self, refused: Refused) -> None:
        """Nobody is to blame for a unit, or there is no time to find out."""
        if case := self._cases.get((refused.unit.kind, refused.unit.name)):
            self._acquit(case)

    def let_back(self) -> bool:
        """Everything is taken as it is: let one back in who may be innocent. False when there is none."""
        for case in self._cases.values():
            case.let_back = None
        for case in self._cases.values():
            case.let_back = case.doubtful()
            if case.let_back is not None:
                self._quarantine.restore(case.let_back, case.kept_out.pop(case.let_back))
                return True
        return False

    def convict(self, refused: Refused) -> bool:
        """Keep out for good who was let back in; False when it is not for that that this unit is refused."""
        case = self._cases.get((refused.unit.kind, refused.unit.name))
        if case is None or case.let_back is None:
            return False
        # In front: the last one stays the last.
        case.kept_out = {case.let_back: self._hold(case.let_back, refused), **case.kept_out}
        case.convicted.add(case.let_back)
        case.let_back = None
        return True

    def withdraw(self) -> None:
        """Nothing was found out after all."""
        for case in self._cases.values():
            self._acquit(case)

    def _hold(self, document: Document, refused: Refused) -> Held | None:
        reason = f"Envoy refuses {refused.unit}: {refused.reason}"
        return self._quarantine.hold(document, "refused-by-envoy", reason)

    def _acquit(self, case: _Case) -> None:
        for document, former in case.kept_out.items():
            self._quarantine.restore(document, former)
        case.kept_out = {}
