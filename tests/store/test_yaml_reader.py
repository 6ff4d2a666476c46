"""A file's documents, and one clear problem for each that cannot be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xds_server.problem import Problem, Severity
from xds_server.store.file_limits import MAX_DOCUMENTS, MAX_FILE_BYTES
from xds_server.store.yaml_reader import read_documents, split_documents


def values(text: str | bytes) -> list[object]:
    documents, problems = read_documents(text, "a.yaml")
    assert not problems
    return [document.value for document in documents]


def problem(text: str | bytes) -> Problem:
    """The one problem of a text that can give no document."""
    documents, problems = read_documents(text, "a.yaml")
    assert not documents
    assert len(problems) == 1
    assert problems[0].file == "a.yaml"
    assert problems[0].severity is Severity.ERROR
    return problems[0]


def test_documents_come_in_the_order_of_the_file() -> None:
    assert values("a: 1\n---\nb: 2\n--- {c: 3}\n") == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_a_document_knows_its_file_and_its_lines() -> None:
    documents, _ = read_documents("# first\n---\na: 1\n---\n\nb: 2\n", "a.yaml")

    assert [document.file for document in documents] == ["a.yaml", "a.yaml"]
    assert [document.positions.at((key,)) for document, key in zip(documents, "ab", strict=True)] == [(3, 1), (6, 1)]


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n---\n", "null\n", "--- # nothing\n...\n"])
def test_an_empty_document_is_left_out(text: str) -> None:
    assert values(text) == []


def test_a_broken_document_costs_itself_only() -> None:
    documents, problems = read_documents("a: 1\n---\nb: [\n---\nc: 3\n", "a.yaml")

    assert [document.value for document in documents] == [{"a": 1}, {"c": 3}]
    assert [found.code for found in problems] == ["yaml-syntax"]


def test_a_document_may_end_with_dots() -> None:
    assert values("a: 1\n...\nb: 2\n") == [{"a": 1}, {"b": 2}]


def test_a_directive_belongs_to_the_document_behind_it() -> None:
    assert values("%YAML 1.1\n---\na: 1\n") == [{"a": 1}]


def test_dashes_inside_a_line_or_a_word_divide_nothing() -> None:
    assert values("a: |\n  ---\n  x\nb: ---x\n") == [{"a": "---\nx\n", "b": "---x"}]


def test_json_is_yaml() -> None:
    assert values('{\n\t"a": [1, true, null, "x"]\n}\n') == [{"a": [1, True, None, "x"]}]


@pytest.mark.parametrize("text", ["a: 1\r\nb: 2\r\n", "a: 1\rb: 2\r", "\ufeffa: 1\nb: 2\n"])
def test_line_ends_and_byte_order_marks_of_other_systems_are_read(text: str) -> None:
    assert values(text) == [{"a": 1, "b": 2}]


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "yaml-syntax", 3, 2),
        ("a: b: c\n", "yaml-syntax", 1, 5),
        ("a:\n  b: 1\n c: 2\n", "yaml-syntax", 3, 2),
        ('a: 1\nb: "open\n', "yaml-syntax", 3, 1),
        ("a:\n\t- b\n", "yaml-syntax", 2, 1),
        ("a: 1\nb: \0\n", "yaml-character", 2, 4),
        ("---\na: 1\n---\nb: \x07\n"[9:], "yaml-character", 2, 4),
        (b"a: 1\nb: caf\xe9\n", "yaml-encoding", 2, 7),
        ("a: \ud800", "yaml-encoding", 1, 4),
        ("a: 1\n".encode("utf-16"), "yaml-encoding", 1, 1),
        ("a: 1\n" * 2, "duplicate-key", 2, 1),
        ("[" * 20_000 + "]" * 20_000, "yaml-syntax", 1, 1001),
        ("a: " + "x" * MAX_FILE_BYTES, "file-too-large", 0, 0),
        ("a: [" + "1," * 1_000_000, "file-too-large", 0, 0),
        ("a: [" + "1," * 50_000, "yaml-too-large", 1, 20_005),
        ("%a\n" * 100_000 + "b: 1\n", "yaml-syntax", 1, 3),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_cannot_be_read_is_one_problem_with_its_place(
    text: str | bytes, code: str, line: int, column: int
) -> None:
    found = problem(text)

    assert (found.code, found.line, found.column) == (code, line, column)
    assert found.fix
    assert "\n" not in found.message


def test_what_is_too_much_to_read_is_still_cut_into_as_many_documents_as_are_allowed() -> None:
    assert len(split_documents("---\na: 1\n" * 3 * MAX_DOCUMENTS)) == MAX_DOCUMENTS


def test_a_tab_is_called_a_tab() -> None:
    assert problem("a:\n\t- b\n").fix == "indent with spaces"


def test_a_problem_in_a_later_document_counts_lines_from_the_file() -> None:
    _, problems = read_documents("a: 1\n---\nb: 1\nb: 2\n", "a.yaml")

    assert (problems[0].line, "lines 3 and 4" in problems[0].message) == (4, True)


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%#?,. \n\t\0\ufeff<~1"), max_size=60))
def test_any_text_is_documents_or_problems(text: str) -> None:
    """Never a traceback, whatever a file holds."""
    documents, problems = read_documents(text, "a.yaml")

    assert len(documents) + len(problems) <= len(split_documents(text.removeprefix("\ufeff")))


@given(st.binary(max_size=60))
def test_any_bytes_are_documents_or_problems(content: bytes) -> None:
    documents, problems = read_documents(content, "a.yaml")

    assert all(found.severity is Severity.ERROR for found in problems)
    assert all(document.value is not None for document in documents)
