"""How a problem reads."""

from __future__ import annotations

from xds_server.problem import Origin, Problem, Severity


def test_problem_reads_like_a_compilers_message() -> None:
    """Place first, so that editors jump to it; then what, and how to mend it."""
    problem = Problem(
        "a.yaml", 3, 7, "VirtualService", "default", "web", "spec.hosts", Severity.ERROR, "x-y", "is empty", "write one"
    )

    assert str(problem) == ("a.yaml:3:7: error: VirtualService/default/web spec.hosts: is empty (write one) [x-y]")


def test_problem_of_a_whole_file_has_no_line() -> None:
    """Neither a line nor a document that nobody could read."""
    problem = Problem("a.yaml", 0, 0, "", "", "", "", Severity.WARNING, "file-empty", "is empty")

    assert str(problem) == "a.yaml: warning:: is empty [file-empty]"


def test_problems_sort_by_place() -> None:
    """The order in which a reader meets them."""
    early, late = (Problem("a.yaml", line, 1, "", "", "", "", Severity.NOTE, "c", "m") for line in (2, 10))

    assert sorted([late, early]) == [early, late]


def test_origin_names_file_line_and_document() -> None:
    """As it stands in a NACK's status."""
    assert str(Origin("a.yaml", 3, "Sidecar", "default", "web")) == "a.yaml:3 Sidecar/default/web"
