"""What a snapshot falls into, and what of it an edit makes new."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import backend, endpoint, route, service, traffic_rule, virtual_host
from xds_server.mesh.route import Backend
from xds_server.mesh.traffic import ConnectionPool, TrafficPolicy, TrafficRule
from xds_server.mesh.view import View
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.mesh.workload import Interception
from xds_server.problem import Origin
from xds_server.translate.translate import Translator
from xds_server.translate.unit import Unit, UnitKind, units
from xds_server.xds.snapshot import Snapshot

HOSTS = [virtual_host(backend(name)) for name in ("a", "b", "c")]


def units_of(*hosts: VirtualHost, known: frozenset[str] = frozenset()) -> list[Unit]:
    """The units of a view of these hosts and what is behind them."""
    backends = tuple(host.backend for host in hosts if host.backend)
    view = View(backends, hosts, interception=Interception.REDIRECT)
    return list(units(Snapshot.of(Translator().translate(view)).by_type, known))


def names(found: list[Unit], kind: UnitKind) -> set[str]:
    return {unit.name for unit in found if unit.kind is kind}


def new_with(host: VirtualHost) -> set[str]:
    """What is new when `host` takes the place of the third."""
    known = frozenset(unit.version for unit in units_of(*HOSTS))
    return {str(unit) for unit in units_of(*HOSTS[:2], host, known=known)}


def test_clusters_listeners_and_virtual_hosts_are_units() -> None:
    found = units_of(*HOSTS)

    assert {f"outbound|9080||{name}" for name in "abc"} < names(found, UnitKind.CLUSTER)
    assert {"virtualOutbound", "virtualInbound", "0.0.0.0_9080"} == names(found, UnitKind.LISTENER)
    assert {"a:9080", "b:9080", "c:9080", "allow_any"} == names(found, UnitKind.VIRTUAL_HOST)


def test_nothing_is_new_the_second_time() -> None:
    known = frozenset(unit.version for unit in units_of(*HOSTS))

    assert units_of(*HOSTS, known=known) == []


def test_an_edited_route_makes_its_virtual_host_new() -> None:
    host = HOSTS[2]
    assert host.backend is not None

    assert new_with(replace(host, routes=(route(host.backend),))) == {"virtual host c:9080"}


def test_an_edited_rule_makes_its_cluster_new() -> None:
    rule = traffic_rule(TrafficPolicy(connection_pool=ConnectionPool(max_connections=1)))

    assert new_with(virtual_host(backend("c", rule))) == {"cluster outbound|9080||c"}


def test_an_endpoint_makes_its_cluster_new() -> None:
    """Envoy refuses endpoints too, and validates them inside their cluster."""
    moved = Backend(service("c", endpoints=[endpoint("10.0.0.9")]), TrafficRule())

    assert new_with(virtual_host(moved)) == {"cluster outbound|9080||c"}


def test_a_virtual_host_comes_from_its_routes_first_and_its_service_last() -> None:
    """Whom to blame when Envoy refuses it."""
    written, ruled, entered = (Origin("x.yaml", line, "Kind", "default", "c") for line in (3, 2, 1))
    behind = Backend(replace(service("c"), origins=(entered,)), replace(traffic_rule(), origins=(ruled,)))
    host = virtual_host(behind, replace(route(behind), origin=written))

    found = {unit.name: unit.origins for unit in units_of(host)}

    assert found["c:9080"] == (written, ruled, entered)
