"""Fixtures: the demos of tests have ports of their own, whoever else takes the well-known ones meanwhile."""

from __future__ import annotations

import pytest

from tests.envoy.running import free_port


@pytest.fixture(autouse=True)
def _own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a demo's look at a port and its use another test might take it."""
    monkeypatch.setattr("xds_server.demo.layout.free_port", lambda _taken, _preferred: free_port())
