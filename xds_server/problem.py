"""What a policy author got wrong, where, and how to mend it.

A problem is a value, never an exception: reading, compiling and translating return problems beside their result,
and the edges print them. It knows nothing of YAML, pydantic or Envoy.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Severity(enum.StrEnum):
    """How much a problem matters."""

    ERROR = "error"
    """The document, or the named part of it, is not in force; its last good form is."""
    WARNING = "warning"
    """In force, but it will probably not do what its author meant."""
    NOTE = "note"
    """In force as meant; there is something to know, such as an old spelling."""


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a policy document stands: which file, which line (1-based), and what it is called."""

    file: str
    line: int
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.kind}/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One finding about one policy document.

    Attributes:
        file: path as the user named it, relative to the policy root where there is one.
        line: 1-based; 0 when the problem concerns the whole file.
        column: 1-based; 0 when the problem concerns the whole line or file.
        kind: Istio kind, or "" when the document could not be read that far.
        namespace: namespace of the document, or "".
        name: metadata.name of the document, or "".
        field: dotted path inside the document (`spec.http[0].timeout`), or "".
        severity: see Severity.
        code: stable kebab-case word (`unknown-field`, `no-effect`), for programs.
        message: one line, what is wrong, in the author's words; never holds a secret.
        fix: one line, what to write instead, or "".
    """

    file: str
    line: int
    column: int
    kind: str
    namespace: str
    name: str
    field: str
    severity: Severity
    code: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        what = "/".join(part for part in (self.kind, self.namespace, self.name) if part)
        where = f" {what}" if what else ""
        field = f" {self.field}" if self.field else ""
        fix = f" ({self.fix})" if self.fix else ""
        return f"{place}: {self.severity}:{where}{field}: {self.message}{fix} [{self.code}]"
