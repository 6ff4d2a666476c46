"""Options in groups, and that a group of options and what it is made into say the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from xds_server.bootstrap import NodeOptions
from xds_server.errors import ConfigurationError
from xds_server.mesh.service import Locality
from xds_server.options import NodeFlags, ServeFlags, flattened
from xds_server.settings import Settings


@dataclass(frozen=True)
class Group:
    """Two options."""

    size: Annotated[int, typer.Option("--size")] = 1
    colour: Annotated[str, typer.Option("--colour")] = "red"


def test_a_group_becomes_one_option_for_each_field() -> None:
    app, seen = typer.Typer(), []

    @app.command()
    @flattened
    def paint(name: str, *, group: Group, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
        """Paint something."""
        seen.append((name, group, loud))

    CliRunner().invoke(app, ["wall", "--size", "3", "--loud"], catch_exceptions=False)

    assert seen == [("wall", Group(3, "red"), True)]


def test_what_serve_is_told_by_default_is_what_settings_say() -> None:
    policies = (Path("policies"),)

    assert Settings.of(policies=policies, **asdict(ServeFlags())) == Settings.of(policies=policies)


def test_what_a_node_is_told_by_default_is_what_its_options_say() -> None:
    assert NodeFlags().node("web", "default") == NodeOptions(name="web")


@pytest.mark.parametrize(
    ("text", "found"),
    [("", Locality()), ("eu", Locality("eu")), ("eu/west", Locality("eu", "west")), ("a/b/c", Locality("a", "b", "c"))],
)
def test_later_parts_of_a_locality_may_be_left_out(text: str, found: Locality) -> None:
    assert NodeFlags(locality=text).node("web", "default").locality == found


@pytest.mark.parametrize("text", ["a/b/c/d", "a//c", "/b", "a/"])
def test_locality_of_other_parts_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="REGION/ZONE/SUBZONE"):
        NodeFlags(locality=text).node("web", "default")
