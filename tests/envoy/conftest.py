"""Fixtures with a real Envoy under this server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.envoy.running import Running, running


@pytest.fixture(scope="session")
def mesh(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server and one calling Envoy for the whole session."""
    with running(envoy_binary, tmp_path_factory.mktemp("mesh")) as started:
        yield started
