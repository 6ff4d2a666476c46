"""Workloads that register themselves when their Envoy connects, under real load on a real caller."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.envoy.running import Backend, Control, Envoy, envoy, get, until

GRACE = 2.0
POLICIES = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: web}
spec:
  hosts: [web]
  ports: [{number: 80, name: http, protocol: HTTP}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: web}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: web}
spec:
  metadata: {labels: {app: web}}
  template: {ports: {http: 8080}}
"""


class Worker:
    """An application and the Envoy beside it, which registers it."""

    def __init__(self, control: Control, binary: Path, directory: Path, name: str) -> None:
        self.backend = Backend(name)
        ports = {"http": self.backend.port}
        self.sidecar = envoy(
            control, binary, directory, name, group="web", ports=ports, labels={"app": "web"}, metrics_interval=0.2
        )

    def leave(self, caller: Envoy) -> None:
        """As a container ends that does it well: the sidecar first, the application once nobody calls it any more."""
        self.sidecar.close()
        until(lambda: self.backend.port not in in_use(caller), what="it has been drained")
        self.backend.close()


class Load:
    """Requests without a pause, from several threads; `failed` holds what was not 200."""

    def __init__(self, caller: Envoy) -> None:
        self._caller = caller
        self._stop = threading.Event()
        self.failed: list[int] = []
        self.count = 0
        self._threads = [threading.Thread(target=self._run) for _ in range(4)]

    def _run(self) -> None:
        while not self._stop.is_set():
            status = self._caller.call("web").status
            self.count += 1
            if status != 200:
                self.failed.append(status)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def in_use(caller: Envoy) -> set[int]:
    """Ports of the endpoints of `web` that get new requests."""
    clusters = json.loads(get(caller.admin_port, "/clusters?format=json"))["cluster_statuses"]
    hosts = [
        host
        for cluster in clusters
        if cluster["name"].startswith("outbound")
        for host in cluster.get("host_statuses", [])
    ]
    return {
        host["address"]["socket_address"]["port_value"]
        for host in hosts
        if host["health_status"]["eds_health_status"] == "HEALTHY"
    }


def registered(control: Control) -> list[str]:
    """Names of the WorkloadEntries in force."""
    found = control.debug("/debug/configz?kind=WorkloadEntry")
    assert isinstance(found, list)
    return [entry["metadata"]["name"] for entry in found]


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """A server of its own, whose workloads are forgotten soon."""
    options = ("--registration-grace", str(GRACE), "--state-dir", str(tmp_path / "state"), "--no-validation")
    started = Control(tmp_path, *options)
    started.write("web.yaml", POLICIES)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture
def caller(control: Control, envoy_binary: Path, tmp_path: Path) -> Iterator[Envoy]:
    """Who sends the requests."""
    started = envoy(control, envoy_binary, tmp_path, "caller").wait()
    try:
        yield started
    finally:
        started.close()


@contextlib.contextmanager
def workers(control: Control, binary: Path, directory: Path, *names: str) -> Iterator[list[Worker]]:
    """Workers, all ended in the end."""
    found = [Worker(control, binary, directory, name) for name in names]
    try:
        yield found
    finally:
        for worker in found:
            worker.sidecar.close()
            worker.backend.close()


def test_no_request_fails_as_a_service_scales_from_one_to_five_and_back(
    control: Control, caller: Envoy, envoy_binary: Path, tmp_path: Path
) -> None:
    with workers(control, envoy_binary, tmp_path, "one") as (first,):
        until(lambda: caller.call("web").status == 200, what="the first worker serves")
        with Load(caller) as load, workers(control, envoy_binary, tmp_path, "two", "three", "four", "five") as others:
            until(lambda: all(worker.backend.count > 20 for worker in others), what="all five share the load")
            for worker in others:
                worker.leave(caller)
            until(lambda: len(registered(control)) == 1, what="those that left are forgotten")
        assert in_use(caller) == {first.backend.port}

    assert load.failed == []
    assert load.count > 100


@pytest.mark.parametrize("remembers", [True, False], ids=["with its state", "without its state"])
def test_server_that_starts_anew_takes_no_endpoint_away(
    control: Control, caller: Envoy, envoy_binary: Path, tmp_path: Path, *, remembers: bool
) -> None:
    """It knows them from its state, or lets its callers keep them until the workers are back."""
    with workers(control, envoy_binary, tmp_path, "one", "two") as both, Load(caller) as load:
        until(lambda: all(worker.backend.count for worker in both), what="both serve")
        load.failed.clear()
        state = tmp_path / "state" / "registrations.json"
        until(lambda: len(json.loads(state.read_text())) == 2, what="both are written down")
        control.kill()
        if not remembers:
            state.unlink()
        control.start()
        until(lambda: len(registered(control)) == 2, what="both are registered again")
        control.write("extra.yaml", POLICIES.split("---", maxsplit=1)[0].replace("web", "extra"))
        until(lambda: caller.stats("cluster.outbound.80..extra"), what="callers take changes again")

    assert load.failed == []


def test_worker_that_dies_is_drained_and_then_forgotten(
    control: Control, caller: Envoy, envoy_binary: Path, tmp_path: Path
) -> None:
    with workers(control, envoy_binary, tmp_path, "one", "two") as (one, two):
        until(lambda: in_use(caller) == {one.backend.port, two.backend.port}, what="both are in use")
        before = caller.stats("cluster_manager.cds.update_success")
        two.sidecar.close()
        until(lambda: in_use(caller) == {one.backend.port}, what="it drains")
        until(lambda: len(registered(control)) == 1, what="it is forgotten")

        assert caller.stats("cluster_manager.cds.update_success") == before


def test_worker_that_is_about_to_go_gets_no_new_requests_and_serves_all_it_gets(
    control: Control, caller: Envoy, envoy_binary: Path, tmp_path: Path
) -> None:
    """Its Envoy is told so by its admin page, and tells the server with what it counts; it may be told otherwise."""
    with workers(control, envoy_binary, tmp_path, "one", "two") as (one, two), Load(caller) as load:
        until(lambda: in_use(caller) == {one.backend.port, two.backend.port}, what="both are in use")
        load.failed.clear()
        get(one.sidecar.admin_port, "/healthcheck/fail", method="POST")
        until(lambda: in_use(caller) == {two.backend.port}, what="it drains")
        assert len(registered(control)) == 2

        get(one.sidecar.admin_port, "/healthcheck/ok", method="POST")
        until(lambda: in_use(caller) == {one.backend.port, two.backend.port}, what="it is in use again")

    assert load.failed == []
