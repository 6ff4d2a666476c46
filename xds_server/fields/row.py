"""What a row of the tables says of one field. Knows Envoy's fields as words only.

A word such as `RouteAction.HashPolicy.header` names a message without its package, and a field of it. That it exists
and that `translate/` writes it is a test's to say (`tests/fields/test_rows.py`).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from xds_server.policy.model import PolicyModel


class State(enum.StrEnum):
    """What comes of a field that a policy holds."""

    APPLIED = "applied"
    REFUSED = "refused"
    """An error: Istio refuses it too, or lets it do nothing in silence."""
    WITHOUT_EFFECT = "without effect"
    """Nothing here could obey it, and a warning says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field.

    Attributes:
        envoy: the fields of Envoy's that it becomes.
        words: what it decides, where that is more than the value of such a field.
        default: what holds where it is left out, if the model alone does not say it.
    """

    envoy: tuple[str, ...] = ()
    words: str = ""
    default: str = ""
    state: State = State.APPLIED


Rows: TypeAlias = Mapping[type[PolicyModel], Mapping[str, Row]]
"""By model, then by field in Istio's spelling."""

BLOCK = Row()
"""A field whose own fields have rows."""


def becomes(*envoy: str, words: str = "", default: str = "") -> Row:
    """A field that is told to Envoy."""
    return Row(envoy, words, default)


def decides(words: str, default: str = "") -> Row:
    """A field that decides which resources a proxy is given, and is in none of them."""
    return Row((), words, default)


def refused(words: str) -> Row:
    """A field that is an error, because Istio lets it be without effect or refuses it too."""
    return Row((), words, "", State.REFUSED)


def without_effect(words: str) -> Row:
    """A field that has nothing to act on where there are only files and Envoys."""
    return Row((), words, "", State.WITHOUT_EFFECT)
