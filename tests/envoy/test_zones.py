"""Requests stay in the caller's zone as far as its share of the endpoints goes, counted on a real Envoy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.envoy.running import Envoy, Running, envoy, running, until
from tests.envoy.test_traffic import rule, service

SERVICE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: callers}
spec:
  hosts: [callers]
  ports: [{number: 80, name: http, protocol: HTTP}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: caller}}
---
"""


def callers(*zones: str) -> str:
    """Workloads that call, one in each of these zones; the first is the Envoy here."""
    return SERVICE + "".join(
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
        f"metadata: {{name: caller-{number}}}\n"
        f"spec: {{address: 10.9.0.{number}, labels: {{app: caller}}, locality: r1/{zone}}}\n---\n"
        for number, zone in enumerate(zones)
    )


@pytest.fixture
def mesh(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(envoy_binary, tmp_path_factory.mktemp("zones")) as found:
        yield found


@pytest.fixture
def caller(mesh: Running, envoy_binary: Path) -> Iterator[Envoy]:
    mesh.apply("callers", callers("z1", "z2"))
    found = envoy(mesh.control, envoy_binary, mesh.directory, "caller-0", locality="r1/z1", self_discovery=True).wait()
    try:
        yield found
    finally:
        found.close()


def test_requests_stay_in_their_zone_and_spread_when_the_setting_goes(mesh: Running, caller: Envoy) -> None:
    """As many callers as endpoints in each zone: each zone can serve its own."""
    places = ["locality: r1/z1", "locality: r1/z2", "locality: r2/z1"]
    backends = [mesh.backend(name) for name in ("near", "far", "other-region")]
    entry = service("zoned", backends, extra=places)
    balancer = "loadBalancer: {simple: ROUND_ROBIN, zoneAwareLbSetting: {minClusterSize: 1}}"

    mesh.apply("zoned", entry + rule("zoned", f"{{{balancer}}}"))
    until(lambda: set(caller.calls(12, "zoned")) == {"near"}, what="requests stay in the zone")
    until(lambda: any(caller.stats("zoned.*lb_zone_routing_all_directly").values()), what="and are counted")

    mesh.apply("zoned", entry + rule("zoned", "{loadBalancer: {simple: ROUND_ROBIN}}"))
    until(lambda: set(caller.calls(12, "zoned")) == {"near", "far", "other-region"}, what="they go everywhere")


def test_a_zone_with_too_few_endpoints_lets_the_rest_of_its_requests_go(mesh: Running, caller: Envoy) -> None:
    """Two of three callers are in a zone that has one of two endpoints: some of their requests cross."""
    mesh.apply("callers", callers("z1", "z1", "z2"))
    backends = [mesh.backend(name) for name in ("near", "far")]
    entry = service("crossing", backends, extra=["locality: r1/z1", "locality: r1/z2"])

    mesh.apply("crossing", entry + rule("crossing", "{loadBalancer: {zoneAwareLbSetting: {minClusterSize: 1}}}"))

    until(lambda: set(caller.calls(12, "crossing")) == {"near", "far"}, what="requests cross zones")
    until(lambda: any(caller.stats("crossing.*lb_zone_routing_cross_zone").values()), what="and are counted")
