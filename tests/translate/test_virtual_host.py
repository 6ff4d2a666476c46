"""One host name on one port."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envoy_data_plane.envoy.config.route import v3 as route_v3

from tests.builders import backend, route, service, virtual_host
from xds_server.mesh.proxy_settings import ProxyHeaders
from xds_server.mesh.route import Backend, Match, MatchKind, StringMatch
from xds_server.mesh.service import Port, Protocol, Resolution, Service
from xds_server.mesh.traffic import TrafficRule
from xds_server.mesh.view import Source
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.translate.encode import encode
from xds_server.translate.route import Place
from xds_server.translate.virtual_host import (
    applicable_routes,
    applies_everywhere,
    domains_of,
    domains_with_port,
    encoded_routes,
    encoded_virtual_host,
    http_ports,
)

REVIEWS = backend("reviews")


def whole(host: VirtualHost, *, port: int = 9080) -> route_v3.VirtualHost:
    routes = encoded_routes(host, applicable_routes(host, port, Source()), Place(port))
    return route_v3.VirtualHost.parse(encoded_virtual_host(f"{host.host}:{port}", host.domains, routes))


def addressed(*addresses: str) -> Backend:
    ports = (Port(9080, "http", Protocol.HTTP),)
    return Backend(Service("reviews", "default", ports, Resolution.STATIC, addresses=addresses), TrafficRule())


def test_service_without_policy_gets_everything_by_default() -> None:
    """Istio's generated route."""
    (found,) = whole(virtual_host(REVIEWS)).routes

    assert found.name == "default"
    assert found.match == route_v3.RouteMatch(prefix="/")
    assert found.route is not None
    assert found.route.cluster == "outbound|9080||reviews"


def test_attempts_are_told_to_the_application() -> None:
    """x-envoy-attempt-count, which Istio's sidecars add."""
    assert whole(virtual_host(REVIEWS)).include_request_attempt_count


def test_attempts_are_not_told_where_the_mesh_does_not_want_it() -> None:
    quiet = Place(9080, headers=ProxyHeaders(attempt_count=False))
    body = encoded_routes(virtual_host(REVIEWS), (), quiet).body

    assert not route_v3.VirtualHost.parse(body).include_request_attempt_count


def test_parts_encoded_apart_are_the_message_encoded_whole() -> None:
    host = virtual_host(REVIEWS, route(REVIEWS))
    routes = encoded_routes(host, (0,), Place(9080))

    body = encoded_virtual_host("reviews:9080", ["reviews"], routes)

    assert body == encode(route_v3.VirtualHost.parse(body))


def test_routes_keep_their_order() -> None:
    """The first that matches wins."""
    host = virtual_host(REVIEWS, route(REVIEWS, name="b"), route(REVIEWS, name="a"))

    assert [found.name for found in whole(host).routes] == ["b", "a"]


def test_port_that_no_route_covers_has_no_route() -> None:
    """404: an author's routes replace the default ones, they do not add to them."""
    assert whole(virtual_host(REVIEWS, route(REVIEWS, Match(port=1)))).routes == []


@pytest.mark.parametrize(
    ("match", "applies"),
    [
        (Match(), True),
        (Match(port=9080), True),
        (Match(port=9081), False),
        (Match(gateways=("mesh", "gateway")), True),
        (Match(gateways=("gateway",)), False),
        (Match(source_labels=(("app", "web"),)), True),
        (Match(source_labels=(("app", "web"), ("version", "v2"))), False),
        (Match(source_namespace="shop"), True),
        (Match(source_namespace="other"), False),
        (Match(uri=StringMatch(MatchKind.EXACT, "/never")), True),
    ],
)
def test_conditions_that_envoy_never_sees_are_decided_here(match: Match, *, applies: bool) -> None:
    caller = Source("shop", (("app", "web"), ("version", "v1")))

    found = applicable_routes(virtual_host(REVIEWS, route(REVIEWS, match)), 9080, caller)

    assert found == ((0,) if applies else ())


@pytest.mark.parametrize(
    ("match", "everywhere"),
    [
        (Match(uri=StringMatch(MatchKind.EXACT, "/a")), True),
        (Match(port=9080), False),
        (Match(gateways=("gateway",)), False),
        (Match(source_labels=(("app", "web"),)), False),
        (Match(source_namespace="shop"), False),
    ],
)
def test_routes_that_hold_for_everybody_are_known(match: Match, *, everywhere: bool) -> None:
    assert applies_everywhere(virtual_host(REVIEWS, route(REVIEWS, match))) is everywhere


def test_http_ports_are_those_declared_or_detected() -> None:
    ports = tuple(
        Port(80 + n, f"p{n}", protocol) for n, protocol in enumerate((Protocol.HTTP, Protocol.TCP, Protocol.AUTO))
    )
    host = virtual_host(Backend(Service("reviews", "default", ports, Resolution.STATIC), TrafficRule()))

    assert http_ports(host) == (80, 82)


def test_host_without_service_is_served_on_port_80_alone() -> None:
    assert http_ports(VirtualHost("example.com", ("example.com",), None, (route(REVIEWS),))) == (80,)


def test_virtual_ips_are_domains_in_the_form_of_a_host_header() -> None:
    """Ranges cannot be."""
    host = virtual_host(addressed("10.0.0.1", "fd00::1", "10.1.0.0/16"))

    assert domains_of(host) == ("reviews", "10.0.0.1", "[fd00::1]")


def test_domains_that_differ_in_case_are_one() -> None:
    """Envoy compares without case, and refuses a RouteConfiguration with two equal ones."""
    host = replace(virtual_host(backend(service("Reviews"))), domains=("Reviews", "reviews"))

    assert domains_of(host) == ("reviews",)


def test_forward_proxy_is_asked_for_port_80_with_and_without_it() -> None:
    assert domains_with_port(("reviews",), 80) == ("reviews", "reviews:80")
    assert domains_with_port(("reviews",), 9080) == ("reviews:9080",)
