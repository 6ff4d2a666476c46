"""Outbound listeners."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from tests.builders import backend, destination, virtual_host
from tests.translate.chains import HTTP, chains, inspectors
from tests.translate.shown import shown
from xds_server.mesh.route import Backend, ConnectionMatch, ConnectionRoute
from xds_server.mesh.service import Port, Protocol, Resolution, Service
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.mesh.traffic import TrafficRule
from xds_server.mesh.view import Source, View
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.mesh.workload import Interception
from xds_server.problem import Origin
from xds_server.translate.outbound import outbound, outbound_listeners, unknown_cluster, virtual_outbound
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

DETECTED = {"transport_protocol": "raw_buffer", "application_protocols": list(HTTP)}
ELSE = {"default": True}
ORIGIN = Origin("services.yaml", 1, "ServiceEntry", "default", "db")
THERE = backend("there", port=80)


def host(
    name: str,
    port: int,
    protocol: Protocol = Protocol.HTTP,
    *addresses: str,
    resolution: Resolution = Resolution.STATIC,
) -> VirtualHost:
    service = Service(name, "default", (Port(port, "p", protocol),), resolution, (), addresses, origins=(ORIGIN,))
    return virtual_host(Backend(service, TrafficRule()))


def made(*hosts: VirtualHost, **options: Any) -> dict[str, Resource]:
    backends = tuple(found.backend for found in hosts if found.backend)
    return {r.name: r for r in map(outbound, outbound_listeners(View(backends, hosts, **options)))}


def bound(*hosts: VirtualHost, **options: Any) -> dict[str, Resource]:
    return made(*hosts, interception=Interception.NONE, **options)


def test_http_services_share_one_listener_by_port() -> None:
    found = made(host("ratings", 80), host("reviews", 80), host("web", 8080))

    assert list(found) == ["0.0.0.0_80", "0.0.0.0_8080"]
    assert chains(found["0.0.0.0_80"]) == [(DETECTED, "routes 80"), (ELSE, "PassthroughCluster")]


def test_captured_listener_is_handed_its_connections() -> None:
    """`virtualOutbound` has the socket."""
    listener = listener_v3.Listener.parse(made(host("reviews", 80))["0.0.0.0_80"].body)

    assert listener.bind_to_port is False


def test_http_service_with_virtual_ip_is_found_by_its_host_too() -> None:
    """As in Istio: its listener stays the shared one."""
    assert list(made(host("reviews", 80, Protocol.HTTP, "10.0.0.1"))) == ["0.0.0.0_80"]


def test_tcp_service_without_virtual_ip_takes_its_whole_port() -> None:
    """And nobody looks at the first bytes: in some protocols the server speaks first."""
    (found,) = made(host("db", 3306, Protocol.TCP)).values()

    assert chains(found) == [({}, "outbound|3306||db")]
    assert inspectors(found) == []


def test_tcp_service_with_virtual_ip_takes_its_address_alone() -> None:
    found = made(host("db", 3306, Protocol.TCP, "10.0.0.1"))

    assert list(found) == ["10.0.0.1_3306"]
    assert chains(found["10.0.0.1_3306"]) == [({}, "outbound|3306||db")]


def test_tcp_service_with_a_range_of_addresses_takes_what_goes_there() -> None:
    (found,) = made(host("db", 3306, Protocol.TCP, "10.0.0.0/8")).values()

    ranges = {"prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    assert chains(found) == [(ranges, "outbound|3306||db"), (ELSE, "PassthroughCluster")]


def test_range_of_two_services_is_the_firsts() -> None:
    """Envoy refuses a listener with two equal matches, however they are spelled."""
    (found,) = made(host("a", 90, Protocol.TCP, "10.1.2.3/8"), host("b", 90, Protocol.TCP, "10.0.0.0/8")).values()

    assert [target for _, target in chains(found)] == ["outbound|90||a", "PassthroughCluster"]


def test_tls_services_on_one_port_are_told_by_server_name() -> None:
    (found,) = made(host("a.example.com", 443, Protocol.TLS), host("*.b.com", 443, Protocol.HTTPS)).values()

    assert chains(found) == [
        ({"server_names": ["*.b.com"]}, "outbound|443||*.b.com"),
        ({"server_names": ["a.example.com"]}, "outbound|443||a.example.com"),
        (ELSE, "PassthroughCluster"),
    ]
    assert inspectors(found) == ["tls_inspector"]


def test_tls_to_a_range_of_addresses_must_ask_for_the_service() -> None:
    """An address of its own says it all; a range may be others' too (Istio's rule)."""
    (ranged,) = made(host("bank", 443, Protocol.TLS, "10.0.0.0/8")).values()
    (addressed,) = made(host("bank", 443, Protocol.TLS, "10.0.0.1")).values()

    assert [match.get("server_names") for match, _ in chains(ranged)] == [["bank"], None]
    assert chains(addressed) == [({}, "outbound|443||bank")]


def test_host_that_envoy_cannot_compare_has_no_tls() -> None:
    """It would cost the other services of the port their listener."""
    (found,) = made(host("*-a.com", 443, Protocol.TLS)).values()

    assert chains(found) == [({}, "PassthroughCluster")]


def with_rules(found: VirtualHost, *rules: ConnectionRoute) -> VirtualHost:
    return replace(found, connections=rules)


def tcp_rule(match: ConnectionMatch = ConnectionMatch()) -> ConnectionRoute:
    return ConnectionRoute(False, match, (destination(THERE),))


def tls_rule(*server_names: str) -> ConnectionRoute:
    return ConnectionRoute(True, ConnectionMatch(server_names), (destination(THERE),))


def test_tls_rules_take_connections_by_server_name_and_leave_the_service_nothing() -> None:
    here = with_rules(host("a.com", 443, Protocol.TLS), tls_rule("x.com", "*.y.com"))

    assert chains(made(here, virtual_host(THERE))["0.0.0.0_443"]) == [
        ({"server_names": ["x.com", "*.y.com"]}, "outbound|80||there"),
        (ELSE, "PassthroughCluster"),
    ]


def test_tcp_rules_take_connections_until_one_takes_them_all() -> None:
    here, there = host("db", 3306, Protocol.TCP), virtual_host(THERE)
    narrow, elsewhere = tcp_rule(ConnectionMatch(subnets=("10.0.0.0/8",))), tcp_rule(ConnectionMatch(port=1))
    ranges = {"prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}

    some, every = made(with_rules(here, narrow, elsewhere), there), made(with_rules(here, tcp_rule(), narrow), there)

    assert chains(some["0.0.0.0_3306"]) == [(ranges, "outbound|80||there"), (ELSE, "outbound|3306||db")]
    assert chains(every["0.0.0.0_3306"]) == [({}, "outbound|80||there")]


def test_rule_for_another_caller_is_passed_over() -> None:
    rule = tcp_rule(ConnectionMatch(source_labels=(("app", "web"),)))
    hosts = (with_rules(host("db", 3306, Protocol.TCP), rule), virtual_host(THERE))
    web = Source(labels=(("app", "web"),))

    assert chains(made(*hosts)["0.0.0.0_3306"]) == [({}, "outbound|3306||db")]
    assert chains(made(*hosts, source=web)["0.0.0.0_3306"]) == [({}, "outbound|80||there")]


def test_same_connections_wanted_twice_are_the_firsts() -> None:
    """Envoy refuses a listener with two equal matches."""
    here = with_rules(host("a.com", 443, Protocol.TLS), tls_rule("x.com"), tls_rule("x.com", "y.com"))

    found = chains(made(here, virtual_host(THERE))["0.0.0.0_443"])

    assert [match.get("server_names") for match, _ in found] == [["x.com"], ["y.com"], None]


def test_detected_port_routes_http_and_passes_on_the_rest() -> None:
    (found,) = made(host("reviews", 9080, Protocol.AUTO)).values()

    assert chains(found) == [(DETECTED, "routes 9080"), (ELSE, "outbound|9080||reviews")]
    assert inspectors(found) == ["http_inspector"]


def test_detected_port_with_virtual_ip_does_so_there() -> None:
    found = made(host("reviews", 9080, Protocol.AUTO, "10.0.0.1"))

    assert chains(found["10.0.0.1_9080"]) == [(DETECTED, "routes 9080"), (ELSE, "outbound|9080||reviews")]


def test_detected_port_with_virtual_ip_takes_nothing_that_goes_elsewhere() -> None:
    assert list(made(host("db", 9000, Protocol.AUTO, "10.0.0.1"))) == ["10.0.0.1_9000"]


def test_detection_never_times_out() -> None:
    """A caller could otherwise get past every HTTP filter by waiting."""
    listener = shown(listener_v3.Listener.parse(made(host("reviews", 80))["0.0.0.0_80"].body))

    assert listener["listener_filters_timeout"] == "0s"
    assert listener["continue_on_listener_filters_timeout"] is True


def test_http_and_tcp_on_one_port_are_both_served() -> None:
    """Istio would drop the younger one; HTTP is told by its host, and all other bytes are the TCP service's."""
    (found,) = made(host("db", 90, Protocol.TCP), host("web", 90)).values()

    assert chains(found) == [(DETECTED, "routes 90"), (ELSE, "outbound|90||db")]


def test_first_of_two_tcp_services_has_the_port() -> None:
    (found,) = made(host("a", 90, Protocol.TCP), host("b", 90, Protocol.TCP)).values()

    assert chains(found) == [({}, "outbound|90||a")]


def test_udp_has_no_listener() -> None:
    assert made(host("dns", 53, Protocol.UDP)) == {}


def test_registry_only_closes_what_no_service_takes() -> None:
    (found,) = made(host("reviews", 80), outbound_policy=OutboundPolicy.REGISTRY_ONLY).values()

    assert chains(found)[-1] == (ELSE, "BlackHoleCluster")


@pytest.mark.parametrize("port", [15001, 15006])
def test_port_that_captures_is_no_services(port: int) -> None:
    """Two listeners with one address: Envoy would refuse the second, which may be the one that captures."""
    assert made(host("reviews", port)) == {}


def test_listener_needs_its_routes_and_clusters_and_names_the_first_policy() -> None:
    (found,) = made(host("reviews", 9080, Protocol.AUTO)).values()

    assert found.refs == ((type_url.CLUSTER, "outbound|9080||reviews"), (type_url.ROUTE, "9080"))
    assert found.origins == (ORIGIN,)


def test_bound_http_listener_takes_nothing_else() -> None:
    """Unknown TCP is closed: there is no original destination to pass it to."""
    found = bound(host("reviews", 9080))

    assert chains(found["127.0.0.1_9080"]) == [({}, "routes 9080")]
    assert inspectors(found["127.0.0.1_9080"]) == []
    assert listener_v3.Listener.parse(found["127.0.0.1_9080"].body).bind_to_port is None


def test_privileged_port_is_not_bound() -> None:
    """The forward proxy serves it."""
    assert bound(host("reviews", 80)) == {}


def test_forward_proxy_has_a_listener_and_a_route_of_its_own() -> None:
    found = bound(http_proxy_port=15080)

    assert chains(found["127.0.0.1_15080"]) == [({}, "routes http_proxy")]


def test_forward_proxy_comes_before_a_service_on_its_port() -> None:
    found = bound(host("reviews", 15080), http_proxy_port=15080)

    assert chains(found["127.0.0.1_15080"]) == [({}, "routes http_proxy")]


def test_services_bind_where_the_node_says() -> None:
    assert list(bound(host("reviews", 9080), bind_address="127.0.0.2")) == ["127.0.0.2_9080"]


def test_loopback_virtual_ip_keeps_tcp_services_of_one_port_apart() -> None:
    """127.0.0.2 and so on need no privileges; other virtual IPs are not this machine's."""
    found = bound(host("a", 3306, Protocol.TCP, "127.0.0.2"), host("b", 3306, Protocol.TCP, "10.0.0.1"))

    assert {name: chains(resource) for name, resource in found.items()} == {
        "127.0.0.2_3306": [({}, "outbound|3306||a")],
        "127.0.0.1_3306": [({}, "outbound|3306||b")],
    }


def test_names_are_looked_up_where_a_service_asks_for_it() -> None:
    (found,) = made(host("*.example.com", 80, resolution=Resolution.DYNAMIC_DNS)).values()

    assert b"envoy.filters.http.dynamic_forward_proxy" in found.body


def test_virtual_outbound_hands_on_and_passes_the_rest_to_where_it_was_going() -> None:
    found = virtual_outbound(unknown_cluster(View()))

    assert listener_v3.Listener.parse(found.body).use_original_dst
    assert chains(found) == [({"destination_port": 15001}, "BlackHoleCluster"), ({}, "PassthroughCluster")]


def test_virtual_outbound_closes_the_rest_under_registry_only() -> None:
    found = virtual_outbound(unknown_cluster(View(outbound_policy=OutboundPolicy.REGISTRY_ONLY)))

    assert chains(found)[-1] == ({}, "BlackHoleCluster")
