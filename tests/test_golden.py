"""Policies in, everything that a node is sent out, beside each other in `golden/<feature>-<twist>/`.

A case is `policies.yaml` and `node.yaml` (the `node` of a bootstrap); what comes out is written down beside them, by
type. To keep a case readable, what the same node gets without any policies is left out: the `nothing-*` cases show
that. A golden proves that nothing changed, not that it is right, so a real Envoy loads every one of them.

`pytest tests/test_golden.py --update-golden` writes them anew; read the diff as you read code.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest
import yaml

from tests.envoy.static_form import complaints
from xds_server.offline import Offline
from xds_server.render import read_node, rendered
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

GOLDEN = Path(__file__).parent / "golden"
INPUTS = {"policies.yaml", "node.yaml"}
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/policies.yaml"))
NAMESPACE = "default"


@pytest.fixture(scope="session")
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether to write the goldens instead of comparing with them: never in CI, where a wrong one would pass."""
    wanted = bool(request.config.getoption("--update-golden"))
    if wanted and os.environ.get("CI"):
        pytest.exit("--update-golden is refused in CI: run it at home and commit what it writes", returncode=2)
    return wanted


def sent(case: Path) -> tuple[Offline, Snapshot]:
    """The policies of a case, and what its node gets."""
    with contextlib.chdir(case):  # so that problems name the file as an author would, wherever the checkout is
        offline = Offline([Path("policies.yaml")], NAMESPACE)
    return offline, offline.snapshot_for(read_node(case / "node.yaml", NAMESPACE))


def resources(snapshot: Snapshot) -> list[Resource]:
    """All of them."""
    return [resource for named in snapshot.by_type.values() for resource in named.values()]


def outputs(case: Path, nothing: Path) -> dict[str, str]:
    """File name to text: one file per type that the policies add to, and the problems that a user will read."""
    offline, snapshot = sent(case)
    problems = [str(problem) for problem in offline.generation.problems]
    if offline.generation.policies.documents:
        without = Offline([nothing], NAMESPACE).snapshot_for(read_node(case / "node.yaml", NAMESPACE))
        snapshot = Snapshot.of(r for r in resources(snapshot) if r != without.of_type(r.type_url).get(r.name))
    found = {**rendered(snapshot), "problems": problems}
    return {f"{name}.yaml": _yaml(values) for name, values in found.items() if values}


def _yaml(values: object) -> str:
    return yaml.safe_dump(values, sort_keys=False, width=sys.maxsize, allow_unicode=True)


def _update(case: Path, found: dict[str, str]) -> None:
    for path in case.iterdir():
        if path.name not in INPUTS | found.keys():
            path.unlink()
    for name, text in found.items():
        (case / name).write_text(text)


@pytest.mark.parametrize("name", CASES)
def test_what_a_node_is_sent_is_what_was_written_down(name: str, tmp_path: Path, *, update_golden: bool) -> None:
    """Each case is one idea; its inputs say which."""
    case, nothing = GOLDEN / name, tmp_path / "nothing.yaml"
    nothing.write_text("")
    found = outputs(case, nothing)
    if update_golden:
        _update(case, found)

    golden = {path.name: path.read_text() for path in case.iterdir() if path.name not in INPUTS}
    assert found == golden


@pytest.mark.parametrize("name", CASES)
def test_a_real_envoy_loads_it(name: str, tmp_path: Path, envoy_binary: Path) -> None:
    """Without a warning."""
    _, snapshot = sent(GOLDEN / name)

    assert not complaints(envoy_binary, tmp_path, resources(snapshot))


def test_every_golden_directory_is_a_case() -> None:
    """A case whose policies were removed would be passed over in silence."""
    assert sorted(path.name for path in GOLDEN.iterdir()) == CASES
    assert all((GOLDEN / name / "node.yaml").exists() for name in CASES)
