"""Two minutes of `make soak`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.faults.soak import soak

SECONDS = 120


def test_after_random_faults_everything_is_as_it_should_be(
    envoy_binary: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    outcome = soak(envoy_binary, tmp_path, seconds=SECONDS, seed=4)
    figure(f"soak: {outcome.summary}")

    assert outcome.failed == {}
    assert outcome.spells > 1
    assert outcome.requests > 0
