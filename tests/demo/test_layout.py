"""Ports and policies of the demo."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from xds_server.demo.layout import WORKERS, free_port, layout, worker_policies, write_policies
from xds_server.offline import Offline


def test_port_that_is_taken_is_left_alone() -> None:
    """The well-known port where it is free, another where it is not, and none twice."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        taken: set[int] = set()

        assert free_port(taken, port) != port
        assert len({free_port(taken, port) for _ in range(3)} | taken) == 4


def test_policies_of_the_demo_have_no_problem(tmp_path: Path) -> None:
    """What the user is shown first is right."""
    write_policies(tmp_path, layout(), collector=True)
    found = Offline([tmp_path], "default").generation

    assert found.problems == ()
    assert len(found.mesh.scope("default").backends["worker-service"].service.endpoints) == len(WORKERS)


@pytest.mark.parametrize("collector", [True, False])
def test_spans_go_to_the_collector_where_there_is_one(tmp_path: Path, collector: bool) -> None:
    """Else to xds-server, which takes the log entries either way."""
    demo = layout()
    write_policies(tmp_path, demo, collector=collector)
    backends = Offline([tmp_path], "default").generation.mesh.scope("default").backends
    ports = {name: dict(backends[name].service.endpoints[0].ports)["grpc"] for name in ("collector", "xds-server")}

    assert ports == {
        "collector": demo.collector_port if collector else demo.telemetry_port,
        "xds-server": demo.telemetry_port,
    }


def test_weights_are_what_the_file_says(tmp_path: Path) -> None:
    """The edit that the story makes."""
    write_policies(tmp_path, layout(), collector=True)
    (tmp_path / "worker-service.yaml").write_text(worker_policies(weights=(90, 10)))
    found = Offline([tmp_path], "default").generation
    (host,) = (h for h in found.mesh.scope("default").virtual_hosts if h.host == "worker-service")

    assert found.problems == ()
    assert [d.weight for d in host.routes[0].destinations] == [90, 10]
