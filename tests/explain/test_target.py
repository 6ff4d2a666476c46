"""What becomes of what a route or a TCP proxy takes."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy import v3 as tcp_proxy_v3

from xds_server.errors import CannotTell
from xds_server.explain.target import Fate, Target, route_target, tcp_target
from xds_server.mesh.route import DirectResponse, Redirect
from xds_server.translate.redirect import direct_response_action, redirect_action

Share = route_v3.WeightedClusterClusterWeight


def test_shares_of_one_cluster_are_one_and_none_is_left_out() -> None:
    shares = [
        Share(name="a", weight=30),
        Share(name="b", weight=0),
        Share(name="a", weight=20),
        Share(name="c", weight=50),
    ]
    route = route_v3.Route(route=route_v3.RouteAction(weighted_clusters=route_v3.WeightedCluster(clusters=shares)))

    assert route_target(route) == Target(Fate.FORWARD, (("a", 50), ("c", 50)))


def test_mirrors_are_told_beside_the_cluster() -> None:
    copies = [route_v3.RouteActionRequestMirrorPolicy(cluster="copy")]
    route = route_v3.Route(route=route_v3.RouteAction(cluster="a", request_mirror_policies=copies))

    assert route_target(route) == Target(Fate.FORWARD, (("a", 1),), ("copy",))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_has_the_status_that_was_asked_for(code: int) -> None:
    assert route_target(route_v3.Route(redirect=redirect_action(Redirect(code=code), 80))) == Target(
        Fate.REDIRECT, status=code
    )


def test_direct_response_has_its_status() -> None:
    route = route_v3.Route(direct_response=direct_response_action(DirectResponse(503)))

    assert route_target(route) == Target(Fate.RESPOND, status=503)


def test_tcp_goes_to_one_cluster_or_to_shares() -> None:
    weights = [tcp_proxy_v3.TcpProxyWeightedClusterClusterWeight(name=name, weight=1) for name in "ab"]
    several = tcp_proxy_v3.TcpProxy(weighted_clusters=tcp_proxy_v3.TcpProxyWeightedCluster(clusters=weights))

    assert tcp_target(tcp_proxy_v3.TcpProxy(cluster="a")) == Target(Fate.FORWARD, (("a", 1),))
    assert tcp_target(several) == Target(Fate.FORWARD, (("a", 1), ("b", 1)))


def test_cluster_that_a_header_names_is_not_guessed() -> None:
    with pytest.raises(CannotTell):
        route_target(route_v3.Route(route=route_v3.RouteAction(cluster_header="x-cluster")))
