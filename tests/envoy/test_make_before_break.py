"""A route that moves to another cluster under load drops no request: new clusters first, old ones last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.moving import moves
from tests.faults.traffic import traffic
from xds_server.bootstrap import Api

MOVES = 10


@pytest.mark.parametrize("api", list(Api))
async def test_a_route_moves_to_a_new_cluster_under_load_without_a_failed_request(
    api: Api, envoy_binary: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Ten moves, and ten more in which everything is sent at once, for comparison: these may fail requests."""
    with traffic() as running:
        gated = await moves(envoy_binary, tmp_path / "gated", running, api, gate=True, count=MOVES)
        ungated = await moves(envoy_binary, tmp_path / "ungated", running, api, gate=False, count=MOVES)
    for name, moved in (("make before break", gated), ("all at once", ungated)):
        failed = sum(moved.failed.values())
        figure(f"{api}, {name}: {failed} of {moved.requests} requests failed in {MOVES} moves at {moved.rate:.0f}/s")

    assert gated.failed == {}


@pytest.mark.parametrize("api", list(Api))
async def test_a_route_that_moved_while_envoy_was_away_fails_no_request_when_it_is_back(
    api: Api, envoy_binary: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """The stream is cut before each move, so the cluster in use is gone from the first snapshot of the next stream."""
    with traffic() as running:
        moved = await moves(envoy_binary, tmp_path, running, api, gate=True, count=MOVES, rate=1000, cut_off=True)
    failed = sum(moved.failed.values())
    figure(f"{api}, cut off: {failed} of {moved.requests} requests failed in {MOVES} moves")

    assert moved.failed == {}
