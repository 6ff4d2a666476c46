"""The whole way, by policies and by what they leave out. Real Envoys are asked in tests/envoy/test_ways.py."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from tests.builders import entry, istio, policy_set, workload
from xds_server.errors import CannotTell
from xds_server.explain.held import Held, held
from xds_server.explain.target import CLOSED, NOT_FOUND, TO_HTTPS, TO_PATH, Fate, Target
from xds_server.explain.traffic import HTTP_1, Connection, Request
from xds_server.explain.way import Way, way_of
from xds_server.pipeline import Pipeline
from xds_server.translate.encode import any_of
from xds_server.translate.endpoint import address
from xds_server.translate.http_connection_manager import inbound_http

CALL = Connection("10.0.0.9", 80, captured_by=15001, http=HTTP_1)


def proxy(*policies: str) -> Held:
    """What a sidecar with capture holds under these policies."""
    pipeline = Pipeline()
    return held(pipeline.snapshot_for(pipeline.compile(policy_set(*policies)), workload()))


def ends(way: Way) -> list[tuple[Fraction, str | None, Target]]:
    return [(turn.share, turn.route.name if turn.route else None, turn.target) for turn in way.turns]


def test_request_goes_by_listener_virtual_host_and_route_to_its_cluster() -> None:
    rules = (
        "hosts: [reviews], http: [{name: old, match: [{uri: {prefix: /v1}}], route: [{destination: {host: reviews}}]}]"
    )
    way = way_of(proxy(entry(), istio("VirtualService", rules)), CALL, Request("reviews:80", "/a/../v1/x"))

    assert way.listener is not None
    assert way.virtual_host is not None
    assert (way.listener.name, way.routes, way.virtual_host.name) == ("0.0.0.0_80", "80", "reviews:80")
    assert way.path == "/v1/x"
    assert ends(way) == [(Fraction(1), "old", Target(Fate.FORWARD, (("outbound|80||reviews", 1),)))]


def test_request_that_no_route_takes_is_not_found() -> None:
    rules = "hosts: [reviews], http: [{match: [{uri: {prefix: /v1}}], route: [{destination: {host: reviews}}]}]"
    way = way_of(proxy(entry(), istio("VirtualService", rules)), CALL, Request("reviews", "/v2"))

    assert ends(way) == [(Fraction(1), None, NOT_FOUND)]


def test_bytes_go_where_they_were_going() -> None:
    way = way_of(proxy(entry()), replace(CALL, http=""))

    assert way.chain is not None
    assert (way.chain.name, way.routes) == ("PassthroughFilterChain", "")
    assert ends(way) == [(Fraction(1), None, Target(Fate.FORWARD, (("PassthroughCluster", 1),)))]


def test_connection_where_nobody_listens_is_closed() -> None:
    way = way_of(proxy(entry()), replace(CALL, captured_by=None))

    assert (way.listener, way.chain, ends(way)) == (None, None, [(Fraction(1), None, CLOSED)])


def listening(*routes: route_v3.Route, tls: route_v3.VirtualHostTlsRequirementType | None = None) -> Held:
    """A listener with these routes for every host."""
    host = route_v3.VirtualHost(
        name="all", domains=["*"], routes=list(routes), require_tls=tls or route_v3.VirtualHostTlsRequirementType.NONE
    )
    http = inbound_http("test", route_v3.RouteConfiguration(name="own", virtual_hosts=[host]))
    listener = listener_v3.Listener(
        name="only",
        address=address("10.0.0.9", 80),
        filter_chains=[
            listener_v3.FilterChain(filters=[http]),
        ],
    )
    return Held((listener,), {}, frozenset({"a", "b"}))


PLAIN = replace(CALL, captured_by=None)


def test_parts_that_no_route_takes_are_not_found() -> None:
    some = core_v3.RuntimeFractionalPercent(default_value=type_v3.FractionalPercent(numerator=25))
    route = route_v3.Route(
        name="some",
        match=route_v3.RouteMatch(prefix="/", runtime_fraction=some),
        route=route_v3.RouteAction(cluster="a"),
    )

    assert ends(way_of(listening(route), PLAIN, Request("a.test"))) == [
        (Fraction(1, 4), "some", Target(Fate.FORWARD, (("a", 1),))),
        (Fraction(3, 4), None, NOT_FOUND),
    ]


def test_plain_request_is_sent_to_https_before_any_route_is_looked_at() -> None:
    way = way_of(listening(tls=route_v3.VirtualHostTlsRequirementType.ALL), PLAIN, Request("a.test"))

    assert ends(way) == [(Fraction(1), None, TO_HTTPS)]


def test_path_that_envoy_refuses_meets_no_route() -> None:
    way = way_of(listening(), PLAIN, Request("a.test", "/%00"))

    assert ends(way) == [(Fraction(1), None, Target(Fate.RESPOND, status=400))]


def test_plain_bytes_where_the_proxy_ends_tls_are_closed() -> None:
    proxy = listening(route_v3.Route(match=route_v3.RouteMatch(prefix="/"), route=route_v3.RouteAction(cluster="a")))
    proxy.listeners[0].filter_chains[0].transport_socket = core_v3.TransportSocket(name="envoy.transport_sockets.tls")

    assert ends(way_of(proxy, PLAIN, Request("a.test"))) == [(Fraction(1), None, CLOSED)]


def test_encoded_slashes_are_redirected_before_any_route_is_looked_at() -> None:
    proxy = listening()
    last = proxy.listeners[0].filter_chains[0].filters[-1]
    manager = last.typed_config.unpack() if last.typed_config else None
    assert isinstance(manager, hcm_v3.HttpConnectionManager)
    manager.path_with_escaped_slashes_action = (
        hcm_v3.HttpConnectionManagerPathWithEscapedSlashesAction.UNESCAPE_AND_REDIRECT
    )
    last.typed_config = any_of(manager)

    way = way_of(proxy, PLAIN, Request("a.test", "/a%2Fb"))
    assert (way.path, ends(way)) == ("/a/b", [(Fraction(1), None, TO_PATH)])


def test_request_without_a_scheme_finds_no_route() -> None:
    proxy = listening(route_v3.Route(match=route_v3.RouteMatch(prefix="/"), route=route_v3.RouteAction(cluster="a")))

    way = way_of(proxy, PLAIN, Request("a.test", headers=(("x-forwarded-proto", ""),)))
    assert ends(way) == [(Fraction(1), None, NOT_FOUND)]


def test_unknown_last_filter_is_not_guessed() -> None:
    chain = listener_v3.FilterChain(name="odd", filters=[listener_v3.Filter(name="envoy.filters.network.echo")])
    listener = listener_v3.Listener(name="only", address=address("10.0.0.9", 80), filter_chains=[chain])

    with pytest.raises(CannotTell, match="odd"):
        way_of(Held((listener,), {}, frozenset()), PLAIN)
