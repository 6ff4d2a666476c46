"""The pipeline over files, without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from xds_server.mesh.workload import Workload
from xds_server.offline import Offline, checked
from xds_server.xds import type_url

SERVICE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: worker}
spec:
  hosts: [worker]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}]
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    (tmp_path / "worker.yaml").write_text(SERVICE)
    return tmp_path


def test_snapshot_is_what_a_server_would_send(policies: Path) -> None:
    snapshot = Offline([policies], "default").snapshot_for(Workload("web", "default"))

    assert "outbound|80||worker" in snapshot.of_type(type_url.CLUSTER)


def test_one_bad_file_leaves_the_others_in_force(policies: Path) -> None:
    (policies / "bad.yaml").write_text(SERVICE.replace("name: worker", "name: bad").replace("hosts:", "host:"))

    generation = Offline([policies], "default").generation

    assert [document.name for document in generation.policies.documents] == ["worker"]
    assert {problem.file for problem in generation.problems} == {"bad.yaml"}


def test_check_says_why_envoy_was_not_asked(policies: Path) -> None:
    assert checked([policies], "default", validation=False).not_validated == "not asked for"


def test_check_asks_the_envoy_there_is(policies: Path) -> None:
    found = checked([policies], "default")

    assert found.not_validated == ""
    assert found.generation.problems == ()
