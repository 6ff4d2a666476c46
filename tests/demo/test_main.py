"""The demo as users run it: real Envoys, real applications, every step passed."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.envoy.running import until
from tests.patience import PATIENCE
from xds_server.demo.main import run
from xds_server.demo.story import STEPS
from xds_server.errors import ConfigurationError


def test_nothing_outlives_a_demo_that_is_ended(envoy_binary: Path, tmp_path: Path) -> None:
    """By Ctrl-C, or by whatever started it."""
    command = [sys.executable, "-m", "xds_server", "demo", "--directory", str(tmp_path), "--envoy", str(envoy_binary)]
    demo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: len(children(demo.pid)) > 6, what="server and sidecars run")
        running = children(demo.pid)
    finally:
        demo.terminate()
        demo.wait(PATIENCE)

    assert [pid for pid in running if Path(f"/proc/{pid}").exists()] == []


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_every_step_of_the_story_passes(envoy_binary: Path, tmp_path: Path) -> None:
    """Round robin, weights, ejection, retries, timeout and a bad edit, each seen in real traffic."""
    out = io.StringIO()

    status = run(tmp_path / "demo", envoy_binary, hold=False, console=Console(file=out, width=200))

    assert f"{len(STEPS)} passed, 0 failed" in out.getvalue()
    assert status == 0


def test_a_demo_without_a_collector_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no wheel for every system. What ends this one is that nothing but `false` is there for an Envoy."""
    monkeypatch.setitem(sys.modules, "rotel", None)
    out = io.StringIO()

    with pytest.raises(ConfigurationError, match="webhook-handler-envoy ended"):
        run(tmp_path / "demo", Path("/bin/false"), hold=False, console=Console(file=out, width=200))

    assert "there is no collector here: rotel is not installed: pip install 'xds-server[demo]'" in out.getvalue()


def test_a_directory_that_cannot_be_made_is_told_in_a_line(envoy_binary: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match=r"--directory .*file/demo cannot be made: Not a directory"):
        run(tmp_path / "file" / "demo", envoy_binary, hold=False, console=Console(file=io.StringIO()))
