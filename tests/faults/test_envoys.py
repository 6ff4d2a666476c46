"""Servers that freeze or are replaced by another, and Envoys that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.envoy.running import Control, Envoy, free_port, until
from tests.faults.policies import route, save, service
from tests.faults.site import HOST, Process, Site, in_step, metric
from tests.faults.traffic import Traffic
from xds_server.bootstrap import NodeOptions
from xds_server.mesh.workload import Interception
from xds_server.settings import Address


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[tuple[Control, Control]]:
    """Two servers of the same files."""
    (tmp_path / "policies").mkdir()
    first, second = Control(tmp_path), Control(tmp_path)
    yield first, second
    second.close()
    first.close()


def test_frozen_server_is_noticed_and_the_other_resends_nothing(
    envoy_binary: Path, tmp_path: Path, replicas: tuple[Control, Control], traffic: Traffic
) -> None:
    """SIGSTOP closes no connection: the keepalive of our bootstrap does. Both servers give the same versions."""
    first, second = replicas
    save(first.policies / "a.yaml", service(HOST, [traffic.backend(HOST)]) + route(HOST, HOST))
    envoy = Envoy(envoy_binary, tmp_path, _options(first, second))
    try:
        until(lambda: envoy.wait().call(HOST).status == 200, what="the mesh serves")
        until(lambda: in_step(first, 1) or in_step(second, 1), what="Envoy is in step")
        frozen, other = (first, second) if in_step(first, 1) else (second, first)
        with traffic.flow(envoy.proxy_port, HOST) as flow, Process(frozen.pid).frozen():
            until(lambda: in_step(other, 1), what="Envoy is with the other server")
            resent = [metric(other, "xds_server_pushes_total", type=kind) for kind in ("CDS", "LDS")]
            save(other.policies / "b.yaml", service("late", [traffic.backend("late")]) + route("late", "late"))
            until(lambda: envoy.call("late").status == 200, what="the other server's edits arrive")
    finally:
        envoy.close()

    assert resent == [0, 0]
    assert flow.failed == {}


def _options(*controls: Control) -> NodeOptions:
    return NodeOptions(
        name="two",
        interception=Interception.NONE,
        http_proxy_port=free_port(),
        xds=tuple(Address("127.0.0.1", control.xds_port) for control in controls),
        admin_port=free_port(),
    )


def test_envoys_that_restart_come_back_to_the_current_state(site: Site) -> None:
    """Each in turn, killed, while policies change; the other does not notice."""
    for number, one in enumerate(site.envoys):
        other = site.envoys[1 - number]
        host = f"meanwhile-{number}"
        with site.traffic.flow(other.proxy_port, HOST, rate=200) as flow:
            site.apply(host, service(host, [site.traffic.backend(host)]) + route(host, host))
            one.restart()
            site.await_service(host)
            site.await_in_step()

        assert flow.failed == {}
        assert one.call(HOST).status == 200
