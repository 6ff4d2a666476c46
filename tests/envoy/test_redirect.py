"""Transparent capture on real traffic: an application that knows nothing, envoy/redirect.sh, and an Envoy beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import istio
from tests.envoy.captured import APP, SERVER, WORLD, Captured, captured
from tests.envoy.running import until

PASSED_THROUGH = "cluster.PassthroughCluster.upstream_cx_total"
INBOUND = "cluster.inbound|8000||;.upstream_rq_total"


def service(host: str, address: str, port: int) -> str:
    """A service on port 80 whose one endpoint listens on `port`."""
    ports = f"[{{number: 80, name: http, protocol: HTTP, targetPort: {port}}}]"
    spec = f"hosts: [{host}], ports: {ports}, resolution: STATIC, endpoints: [{{address: {address}}}]"
    return istio("ServiceEntry", spec, name=host)


@pytest.fixture(scope="module")
def lab(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Captured]:
    with captured(envoy_binary, tmp_path_factory.mktemp("captured")) as found:
        found.apply("services", service("worker-service", WORLD, 8080) + service("webhook-handler", APP, 8000))
        until(lambda: found.app.get("http://worker-service/").startswith("worker"), what="the worker is reached")
        yield found


@pytest.fixture
def registry_only(lab: Captured) -> Iterator[None]:
    """Only services that are known may be called."""
    lab.apply("outbound", istio("Sidecar", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))
    yield
    lab.apply("outbound", "")
    (lab.policies / "outbound.yaml").unlink()
    until(lambda: lab.app.get(f"http://{WORLD}:8081/").startswith("stranger"), what="strangers are let through again")


def test_call_by_service_name_goes_through_envoy(lab: Captured) -> None:
    """The name's address is nobody's: only capture, and the route for the name, can bring the call anywhere."""
    assert lab.app.get("http://worker-service/") == "worker through envoy"


def test_call_from_outside_goes_through_envoy_to_the_application(lab: Captured) -> None:
    before = lab.counter(INBOUND)

    assert lab.world.get(f"http://{APP}:8000/") == "app through envoy"
    assert lab.counter(INBOUND) == before + 1


def test_call_from_outside_goes_to_loopback_where_the_mesh_says_so(lab: Captured, tmp_path: Path) -> None:
    """An application that listens on 127.0.0.1 alone is reached by no other setting."""
    lab.apply("inside", service("inside", APP, 8002))
    with lab.app.running(tmp_path / "inside.log", sys.executable, "-c", SERVER, "inside", 8002, "127.0.0.1"):
        until(lambda: lab.app.get("http://127.0.0.1:8002/").startswith("inside"), what="the application listens")
        until(lambda: lab.world.get(f"http://{APP}:8002/") == "status 503", what="it is called where nobody listens")
        lab.apply("mesh", "inboundTrafficPolicy: {mode: LOCALHOST}\n")

        until(lambda: lab.world.get(f"http://{APP}:8002/") == "inside through envoy", what="it is called on loopback")

    for name in ("inside", "mesh"):
        (lab.policies / f"{name}.yaml").unlink()


def test_unknown_destination_is_passed_through(lab: Captured) -> None:
    before = lab.counter(PASSED_THROUGH)

    assert lab.app.get(f"http://{WORLD}:8081/").startswith("stranger")
    assert lab.counter(PASSED_THROUGH) == before + 1


@pytest.mark.usefixtures("registry_only")
def test_unknown_destination_is_refused_where_only_known_ones_are_allowed(lab: Captured) -> None:
    until(lambda: lab.app.get(f"http://{WORLD}:8081/") == "no answer", what="strangers are refused")

    assert lab.app.get(f"http://{WORLD}:80/") == "status 502"
    assert lab.app.get("http://worker-service/") == "worker through envoy"


def test_call_to_oneself_does_not_leave(lab: Captured) -> None:
    assert lab.app.get("http://127.0.0.1:8000/") == "app through nobody"
