"""`xds-server check`: problems for a person to read, each with the line it is about and a caret below the place.

What is wrong in each item of a long list alike is shown a few times and counted; `-o json` has all of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from rich.text import Text

from xds_server.problem import Problem, Severity

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_WIDTH = 120
"""Longest piece of a line that is quoted."""
_SECRET = re.compile(r"""(\b(?:access_?[tT]oken|value)["']?\s*:\s*)("(?:\\.|[^"\\])*"?|'[^']*'?|[^,}]+)""")
"""What is written where a MeshConfig has a token; a report may end in the log of a build."""
_PROVIDERS = "spec.extensionProviders["
"""Lines below it are not quoted: a token stands there under a misspelt name too, or as no value of a field."""
_MOST_ALIKE = 5
"""Problems shown in full of those that say the same of other items of a list."""
_INDEX = re.compile(r"\[\d+\]")
ReadLine = Callable[[str, int], str | None]
"""(file, 1-based line number) -> that line's text, None when it cannot be had."""


def report(problems: Sequence[Problem], documents: int, read_line: ReadLine) -> Text:
    """The whole report, coloured; one block per file, then a summary line.

    Args:
        problems: sorted, as a generation holds them.
        documents: how many documents are in force.
        read_line: where the quoted lines come from.
    """
    text = Text()
    for file, found in groupby(problems, key=lambda problem: problem.file):
        text.append(f"{_printable(file)}\n" if file else "", style="bold underline")
        for alike in _grouped(found):
            for problem in alike[:_MOST_ALIKE]:
                text.append_text(_problem(problem, read_line)).append("\n")
            if more := alike[_MOST_ALIKE:]:
                text.append(f"    and {len(more)} more like it, the last on line {more[-1].line}\n\n", style="dim")
    return text.append_text(_summary(problems, documents))


def _grouped(problems: Iterable[Problem]) -> Iterable[list[Problem]]:
    """Those together that differ in their place in a list only, where the first of them stands."""
    groups: dict[Problem, list[Problem]] = {}
    for problem in problems:
        anywhere = replace(problem, line=0, column=0, field=_INDEX.sub("[]", problem.field))
        groups.setdefault(anywhere if problem.field else problem, []).append(problem)
    return groups.values()


def _problem(problem: Problem, read_line: ReadLine) -> Text:
    text = Text("  ")
    text.append(f"{problem.severity}", style=_STYLES[problem.severity])
    text.append(f" {_printable(problem.message)} ").append(f"[{problem.code}]\n", style="dim")
    text.append(f"    {_printable(_where(problem))}\n", style="dim")
    text.append_text(_quoted(problem, read_line))
    if problem.fix:
        text.append("    fix: ", style="green").append(f"{_printable(problem.fix)}\n")
    return text


def _printable(text: str) -> str:
    """Names of files and what is quoted of documents may hold what moves a terminal's cursor, or begins a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _where(problem: Problem) -> str:
    place = ":".join(str(part) for part in (problem.file, problem.line, problem.column) if part)
    name = "/".join(part for part in (problem.namespace, problem.name) if part)
    return "  ".join(part for part in (place, f"{problem.kind} {name}".strip(), problem.field) if part)


def _quoted(problem: Problem, read_line: ReadLine) -> Text:
    is_shown = problem.line and not problem.field.startswith(_PROVIDERS)
    line = read_line(problem.file, problem.line) if is_shown else None
    if line is None:
        return Text()
    start = max(0, problem.column - _WIDTH // 2) if len(line) > _WIDTH else 0
    # What cannot be printed, tabs too, has no certain width; a blank keeps the caret below its place.
    if problem.kind in {"", "MeshConfig"}:
        line = _SECRET.sub(lambda found: found[1] + "*" * len(found[2]), line)
    shown = "".join(c if c.isprintable() else " " for c in line[start : start + _WIDTH])
    number = str(problem.line)
    text = Text(f"    {number} | {shown.rstrip()}\n")
    if problem.column:
        text.append(f"    {' ' * len(number)} | {' ' * (problem.column - 1 - start)}")
        text.append("^\n", style=_STYLES[problem.severity])
    return text


def _summary(problems: Iterable[Problem], documents: int) -> Text:
    counts = Counter(problem.severity for problem in problems)
    text = Text(f"{_counted(documents, 'document')} in force: ")
    if not counts:
        return text.append("no problems", style="green")
    for index, severity in enumerate(severity for severity in Severity if counts[severity]):
        text.append(", " if index else "")
        text.append(_counted(counts[severity], str(severity)), style=_STYLES[severity])
    return text


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
