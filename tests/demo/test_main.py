"""The demo as users run it: real Envoys, real applications, every step passed."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from xds_server.demo.main import run
from xds_server.demo.story import STEPS


def test_every_step_of_the_story_passes(envoy_binary: Path, tmp_path: Path) -> None:
    """Round robin, weights, ejection, retries, timeout and a bad edit, each seen in real traffic."""
    out = io.StringIO()

    status = run(tmp_path / "demo", envoy_binary, hold=False, console=Console(file=out, width=200))

    assert f"{len(STEPS)} passed, 0 failed" in out.getvalue()
    assert status == 0
