"""The page of fields: the copy in the repository is the one that the code prints."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from xds_server.cli import app
from xds_server.fields.document import fields_document
from xds_server.fields.table import TABLED

COPY = Path(__file__).parents[2] / "policies" / "FIELDS.md"


def test_the_copy_in_the_repository_is_what_the_command_prints() -> None:
    """If it is not: xds-server fields > policies/FIELDS.md."""
    printed = CliRunner().invoke(app, ["fields"])

    assert printed.exit_code == 0
    assert printed.stdout == fields_document(TABLED)
    assert COPY.read_text() == printed.stdout


def test_the_command_prints_single_kinds() -> None:
    printed = CliRunner().invoke(app, ["fields", "Gateway"])

    assert "## Gateway" in printed.stdout
    assert "## Sidecar" not in printed.stdout


def test_the_command_says_which_kinds_there_are() -> None:
    printed = CliRunner().invoke(app, ["fields", "Pod"])

    assert printed.exit_code == 2


def test_a_bar_within_a_cell_does_not_end_it() -> None:
    (line,) = (line for line in fields_document(["VirtualService"]).splitlines() if "destination.host`" in line)

    assert r"outbound\|port\|subset\|host" in line
