"""What a person reads after `check`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xds_server.problem import Problem, Severity
from xds_server.report import report

FILE = ("kind: VirtualService", "spec:", "\ttimeout: 5")
ERROR = Problem(
    "a.yaml",
    3,
    2,
    "VirtualService",
    "shop",
    "x",
    "spec.timeout",
    Severity.ERROR,
    "bad-duration",
    "has no unit",
    "write 5s",
)


def line(_file: str, number: int) -> str | None:
    """A line of FILE."""
    return FILE[number - 1] if number <= len(FILE) else None


def test_problem_has_its_line_with_a_caret_and_its_fix() -> None:
    assert report([ERROR], 4, line).plain == (
        "a.yaml\n"
        "  error has no unit [bad-duration]\n"
        "    a.yaml:3:2  VirtualService shop/x  spec.timeout\n"
        "    3 |  timeout: 5\n"
        "      |  ^\n"
        "    fix: write 5s\n"
        "\n"
        "4 documents in force: 1 error"
    )


def test_files_are_named_once_and_severities_are_counted() -> None:
    note = replace(ERROR, file="b.yaml", severity=Severity.NOTE)
    text = report([ERROR, ERROR, replace(note, severity=Severity.WARNING), note, note], 1, line).plain

    assert [part for part in text.splitlines() if part in {"a.yaml", "b.yaml"}] == ["a.yaml", "b.yaml"]
    assert text.endswith("1 document in force: 2 errors, 1 warning, 2 notes")


def test_what_is_wrong_in_every_item_of_a_list_is_shown_a_few_times_and_counted() -> None:
    found = [replace(ERROR, line=10 + item, field=f"spec.endpoints[{item}].adress") for item in range(20)]
    found[1:1] = [replace(ERROR, line=10, field="spec.endpoints[0].port", message="is not a port")]
    text = report(found, 0, line).plain

    assert text.count("has no unit") == 5
    assert text.count("is not a port") == 1
    assert "spec.endpoints[4].adress" in text
    assert "    and 15 more like it, the last on line 29\n" in text
    assert text.endswith("0 documents in force: 21 errors")


def test_two_documents_with_the_same_mistake_are_both_shown() -> None:
    text = report([replace(ERROR, name=f"x{number}") for number in range(9)], 0, line).plain

    assert text.count("has no unit") == 9


def test_nothing_wrong_is_said_in_one_line() -> None:
    assert report([], 2, line).plain == "2 documents in force: no problems"


def test_problem_of_a_whole_file_quotes_no_line() -> None:
    whole = Problem("a.yaml", 0, 0, "", "", "", "", Severity.ERROR, "unreadable", "cannot be read")

    assert report([whole], 0, line).plain.splitlines()[:3] == [
        "a.yaml",
        "  error cannot be read [unreadable]",
        "    a.yaml",
    ]


def test_line_that_is_gone_is_not_quoted() -> None:
    assert "|" not in report([replace(ERROR, line=99)], 0, line).plain


def test_long_line_is_quoted_around_the_place() -> None:
    long = "x" * 5000 + "HERE" + "x" * 5000
    text = report([replace(ERROR, column=5001)], 0, lambda _file, _number: long).plain
    quoted, caret = (part for part in text.splitlines() if " | " in part)

    assert len(quoted) < 140
    assert quoted[caret.index("^") :].startswith("HERE")


def test_what_would_steer_the_terminal_is_not_printed() -> None:
    """A policy file may come from anybody."""
    text = report([ERROR], 0, lambda _file, _number: "a\x1b[31mb").plain

    assert "\x1b" not in text


@pytest.mark.parametrize("kind", ["MeshConfig", ""])
def test_token_is_not_quoted(kind: str) -> None:
    """Nor where the text is no YAML, and nobody knows of which kind it is."""
    written = '- {skywalking: {port: 80, "accessToken": "s3cret", service: a}, headers: [{name: a, value: "s3, cr"}]}'
    text = report([replace(ERROR, kind=kind)], 1, lambda _file, _number: written).plain

    assert "s3" not in text
    assert 'accessToken": ********, service: a' in text
    assert "value: ********}]" in text


def test_lines_of_providers_are_not_quoted() -> None:
    problem = replace(ERROR, kind="MeshConfig", field="spec.extensionProviders[0].skywalking.acessToken")

    assert "s3cret" not in report([problem], 1, lambda _file, _number: "acessToken: s3cret").plain


def test_values_of_other_kinds_are_quoted() -> None:
    assert "value: 50" in report([ERROR], 1, lambda _file, _number: "percentage: {value: 50}").plain


def test_what_a_terminal_would_obey_is_not_printed() -> None:
    """Names of files and words of documents may come from strangers whose change is only to be checked."""
    text = report(
        [replace(ERROR, file="a\n\x1b[2J.yaml", message='"\x1b[31m" is no host', fix="no \x9b here")], 0, line
    )

    assert "a\ufffd\ufffd[2J.yaml\n" in text.plain
    assert '"\ufffd[31m" is no host' in text.plain
    assert all(c.isprintable() for c in text.plain.replace("\n", ""))
