"""How the compiler speaks to a policy author: one line per finding, with file, line and field.

Every compile step gives back an `Outcome`: what it made, and what it found on the way.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Generic, TypeVar

from xds_server.mesh.host import split
from xds_server.policy.document import Document, dotted
from xds_server.policy.model import Path
from xds_server.problem import Problem, Severity

_FEW = 8
"""How many names on each side are compared with one that nobody knows."""
_ALIKE = 0.6
"""From here on one of two names may be meant for the other; 1 is the same name."""
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Outcome(Generic[T_co]):
    """What a step made, with the problems met. Compared by identity."""

    value: T_co
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A value inside a document: what a finding is about.

    Attributes:
        path: keys in Istio's spelling and list indices, from the top: ("spec", "http", 0, "route").
    """

    document: Document
    path: Path = ("spec",)

    def at(self, *path: str | int) -> Place:
        """A place below this one."""
        return Place(self.document, (*self.path, *path))

    @property
    def field(self) -> str:
        """The path as an author would write it: "spec.http[0].route"."""
        return dotted(self.path)

    def error(self, code: str, message: str, fix: str = "") -> Problem:
        """A finding because of which the place is not in force."""
        return self._problem(Severity.ERROR, code, message, fix)

    def warning(self, code: str, message: str, fix: str = "") -> Problem:
        """A finding about something in force that will probably not do what its author meant."""
        return self._problem(Severity.WARNING, code, message, fix)

    def note(self, code: str, message: str, fix: str = "") -> Problem:
        """Something to know about a place that is in force as meant."""
        return self._problem(Severity.NOTE, code, message, fix)

    def __str__(self) -> str:
        """Where another finding may point: "reviews.yaml:12 DestinationRule/default/reviews"."""
        return str(self.document.origin)

    def _problem(self, severity: Severity, code: str, message: str, fix: str) -> Problem:
        line, column = self.document.positions.at(self.path)
        origin = self.document.origin
        return Problem(
            file=origin.file,
            line=line,
            column=column,
            kind=origin.kind,
            namespace=origin.namespace,
            name=origin.name,
            field=self.field,
            severity=severity,
            code=code,
            message=message,
            fix=fix,
        )


def nearest(name: str, known: Sequence[str], what: str) -> str:
    """The fix for a name nobody knows: the nearest of the `known` ones, or how to define it."""
    found = heapq.nlargest(3, ((_likeness(name, each), each) for each in known))
    close = [each for likeness, each in found if likeness >= _ALIKE]
    return f"did you mean {' or '.join(close)}?" if close else f"define {what} {name}, or correct the name"


def _likeness(name: str, other: str) -> float:
    own, others = _told_apart(name, other)
    matcher = SequenceMatcher(None, others, own)
    may_be = matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE
    return matcher.ratio() if may_be else 0.0


def _told_apart(name: str, other: str) -> tuple[str, str]:
    """What of two names tells them apart: without a namespace before, or labels behind, that both have.

    A service of the same name in another namespace is as near as can be.
    """
    namespace = name.rpartition("/")[0]
    if namespace == other.rpartition("/")[0]:
        name, other = name.removeprefix(f"{namespace}/"), other.removeprefix(f"{namespace}/")
    own, others = _labels(name), _labels(other)
    if max(len(own), len(others)) <= _NAME_AND_NAMESPACE and (own[0] == others[0] or 1 in {len(own), len(others)}):
        return own[0], others[0]
    while min(len(own), len(others)) > 1 and own[-1] == others[-1]:
        own, others = own[:-1], others[:-1]
    return ".".join(own), ".".join(others)


_NAME_AND_NAMESPACE = 2


def _labels(name: str) -> list[str]:
    """Of a name in one of the four spellings (see mesh/host.py) its name and namespace."""
    short, namespace = split(name, "")
    return [each for each in (short, namespace) if each] or name.split(".")


def neighbours(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Those of the sorted `known` names that are worth comparing with `name`: a few next to it in the alphabet.

    So what is said of an unknown name costs little, and changes only when a name near it comes or goes.
    """
    middle = bisect.bisect(known, name)
    return tuple(known[max(0, middle - _FEW) : middle + _FEW])
