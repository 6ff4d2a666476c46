"""One policy document as read: metadata, source positions, and the model of its kind.

Knows no YAML: it takes plain values with positions kept beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import BaseModel

from xds_server.problem import Origin, Problem

Path = tuple[str | int, ...]
"""Keys and list indices from the top of a document to a value."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Where each key and value of one document stands.

    Attributes:
        line, column: 1-based place of the value itself; for a mapping entry, of its key.
        children: by mapping key or list index.
    """

    line: int
    column: int
    children: dict[str | int, Positions] = field(default_factory=dict)

    def at(self, path: Sequence[str | int]) -> tuple[int, int]:
        """(line, column) of the deepest part of `path` that is written; the rest was left out by the author."""
        here = self
        for part in path:
            found = here.children.get(part)
            if found is None:
                break
            here = found
        return here.line, here.column


@dataclass(frozen=True, slots=True)
class RawDocument:
    """One YAML document as plain dicts, lists and scalars, before anybody asked what it means."""

    file: str
    value: object
    positions: Positions


@dataclass(frozen=True, eq=False)
class Document:
    """One valid policy document. Compared by identity: a store gives the same object while its text is the same.

    Attributes:
        created: metadata.creationTimestamp where given; aware, UTC.
        labels, annotations: metadata's, as written.
        spec: the pydantic model that `policy.kinds` names for `kind`.
        problems: notes and warnings about this document alone (old spellings, fields not applied yet).
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    spec: BaseModel
    origin: Origin
    positions: Positions
    created: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        """(kind, namespace, name): what a document is called; one document of each key is in force."""
        return self.kind, self.namespace, self.name


@dataclass(frozen=True, eq=False)
class PolicySet:
    """Everything a store holds at one moment.

    Attributes:
        documents: in order of precedence (creationTimestamp where given, then namespace, then name), each key once.
        problems: of documents and files that could not be taken as they are, and the notes of those that could.
    """

    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
