"""Fixtures: one running mesh that faults are done to, each leaving it as it found it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.site import Site, site
from tests.faults.traffic import Traffic, traffic


@pytest.fixture(scope="session", name="traffic")
def running_traffic() -> Iterator[Traffic]:
    """A thread of backends and callers."""
    with traffic() as running:
        yield running


@pytest.fixture(scope="session", name="shared_site")
def running_site(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory, traffic: Traffic) -> Iterator[Site]:
    """One mesh for the whole session."""
    with site(envoy_binary, tmp_path_factory.mktemp("site"), traffic) as running:
        yield running


@pytest.fixture(name="site")
def site_as_it_was(shared_site: Site) -> Iterator[Site]:
    """The mesh that tests share unless they need a server of their own; what a test leaves behind is cleared away."""
    yield shared_site
    shared_site.clear()
