"""What every policy model has in common: Istio's spelling, frozen, nothing unknown, and rules that speak to the author.

A rule that a single value breaks raises `refusal(...)` from its validator. A rule between fields is yielded by
`PolicyModel.mistakes`, so that one reading names them all. `policy.wording` reads both, `policy.document` turns them
into problems.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from xds_server.problem import Severity

REFUSED = "refused"
"""The pydantic error type that carries findings in its context, under the key "findings"."""

Path = tuple[str | int, ...]
"""Keys and list indices from the top of a value to a part of it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to tell the author of a document, before anybody asked on which line it stands.

    Attributes:
        message: what is wrong, or to be known.
        fix: what to write instead, or "".
        at: where, below the value that is looked at, in Istio's spelling.
        code: stable kebab-case word, see `problem.Problem`.
    """

    message: str
    fix: str = ""
    at: Path = ()
    code: str = "invalid-value"
    severity: Severity = Severity.ERROR

    def below(self, path: Path) -> Finding:
        """The same finding, seen from the top of a value that has this one at `path`."""
        return replace(self, at=(*path, *self.at))


def quote(value: object) -> str:
    """The fix for a scalar that should be text and that YAML reads as something else."""
    if isinstance(value, bool):
        return "quote it: unquoted y, yes, on and true all mean true, and n, no, off and false mean false"
    return f'quote it: "{value}"'


def refusal(*findings: Finding) -> PydanticCustomError:
    """The exception for a pydantic validator to raise; it keeps every finding apart."""
    return PydanticCustomError(REFUSED, "see context", {"findings": findings})


def istio_name(name: str) -> str:
    """Proto's JSON name of a field: `consecutive_5xx_errors` is `consecutive5xxErrors`, `from_` is `from`."""
    return re.sub("_(.)", lambda found: found[1].upper(), name.rstrip("_"))


class PolicyModel(BaseModel):
    """Base of all that a user may write. Fields left out hold proto's zero value, or None where absence means more."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=istio_name,
        validate_by_alias=True,
        validate_by_name=True,
        hide_input_in_errors=True,
    )

    def mistakes(self) -> Iterable[Finding]:
        """The rules between this model's fields that its author broke."""
        return ()

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        if found := tuple(self.mistakes()):
            raise refusal(*found)
        return self


class PolicyEnum(StrEnum):
    """An enum of Istio's API. Members stand in the order of their proto numbers, which count from 0 without gaps."""

    @classmethod
    def _missing_(cls, value: object) -> PolicyEnum | None:
        """Proto-JSON also allows the number."""
        if type(value) is int and 0 <= value < len(cls):
            return list(cls)[value]
        return None
