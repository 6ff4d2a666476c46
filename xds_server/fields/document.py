"""The tables as Markdown: `xds-server fields`, and the copy in policies/FIELDS.md."""

from __future__ import annotations

from collections.abc import Iterable

from xds_server.fields.row import Row, State
from xds_server.fields.table import TABLED, Place, counts, places

_ABOUT = """\
# Every field, and what Envoy is told

`xds-server fields` prints this page from the code. "RouteAction.timeout" is the field `timeout` of the message
`RouteAction` in Envoy's API; a field without such a name decides which resources a proxy is given. A default that is
not written is that nothing is set. A block that several fields hold is listed at the first of them.
"""
BAR = "\\|"
"""A bar that ends no cell."""


def fields_document(kinds: Iterable[str] = TABLED) -> str:
    """The page for these kinds."""
    names = tuple(kinds)
    return "\n".join([_ABOUT, _summary(names), *(_section(kind) for kind in names)])


def _summary(kinds: tuple[str, ...]) -> str:
    lines = [f"| kind | fields | {' | '.join(State)} |", "|---|---|" + "---|" * len(State)]
    for kind in kinds:
        found = counts(kind)
        numbers = " | ".join(str(found[state]) for state in State)
        lines.append(f"| {kind} | {sum(found.values())} | {numbers} |")
    return "\n".join([*lines, ""])


def _section(kind: str) -> str:
    head = ["## " + kind, "", "| field | default | Envoy | |", "|---|---|---|---|"]
    return "\n".join([*head, *(_line(place) for place in places(kind)), ""])


def _line(place: Place) -> str:
    state = "" if place.row.state is State.APPLIED else place.row.state
    cells = (f"`{place.path}`", place.default, _envoy(place), state)
    return f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"


def _envoy(place: Place) -> str:
    said = _said(place.row)
    return f"{said}{'; ' if said else ''}as `{place.first}`" if place.first else said


def _said(row: Row) -> str:
    named = ", ".join(f"`{name}`" for name in row.envoy)
    return f"{named}: {row.words}" if named and row.words else named or row.words
