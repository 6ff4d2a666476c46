"""Requests to hosts that no policy names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.translate.shown import shown
from xds_server.mesh.egress import NOWHERE, Egress
from xds_server.mesh.proxy_settings import ProxyHeaders
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.mesh.view import View
from xds_server.mesh.workload import Interception
from xds_server.translate import names
from xds_server.translate.catch_all import (
    Unknown,
    catch_all,
    forward_proxy_itself,
    own_addresses,
    unknown_cluster,
    unknown_hosts,
)

CAPTURED = View()
BOUND = View(interception=Interception.NONE, http_proxy_port=15080)


def test_captured_requests_pass_through_to_where_they_were_going() -> None:
    assert unknown_hosts(CAPTURED) is Unknown.ALLOW_ANY
    assert unknown_cluster(CAPTURED, Unknown.ALLOW_ANY) == names.PASSTHROUGH_CLUSTER


def test_forward_proxy_looks_unknown_hosts_up() -> None:
    """Nothing was captured, so there is no original destination."""
    assert unknown_hosts(BOUND, forward_proxy=True) is Unknown.ALLOW_ANY_DYNAMIC_DNS
    assert unknown_cluster(BOUND, Unknown.ALLOW_ANY_DYNAMIC_DNS) == names.DYNAMIC_DNS_CLUSTER


def test_port_bound_on_loopback_refuses_unknown_hosts() -> None:
    """Looked up, a name for loopback would bring the request back to the same port, for ever."""
    bound_among_captured = View(egress=Egress(binds=((80, "", True),)))

    assert unknown_hosts(BOUND) is Unknown.BLOCK_ALL
    assert unknown_hosts(bound_among_captured, port=80) is Unknown.BLOCK_ALL
    assert unknown_hosts(bound_among_captured, port=90) is Unknown.ALLOW_ANY


@pytest.mark.parametrize("view", [CAPTURED, BOUND])
@pytest.mark.parametrize(
    ("proxy", "cluster"), [((3128, "", "proxy"), "outbound|3128||proxy"), (NOWHERE, "BlackHoleCluster")]
)
def test_egress_proxy_takes_what_nobody_else_does(view: View, proxy: tuple[int, str, str], cluster: str) -> None:
    """And one that is not there leaves nothing open: traffic must not slip past it."""
    found = replace(view, egress=Egress(proxy=proxy))

    assert unknown_cluster(found, unknown_hosts(found)) == cluster


@pytest.mark.parametrize("forward_proxy", [True, False])
@pytest.mark.parametrize("interception", Interception)
def test_registry_only_refuses_unknown_hosts_everywhere(interception: Interception, *, forward_proxy: bool) -> None:
    view = View(interception=interception, outbound_policy=OutboundPolicy.REGISTRY_ONLY)

    assert unknown_hosts(view, forward_proxy=forward_proxy) is Unknown.BLOCK_ALL


def test_refused_host_answers_502() -> None:
    """Istio's status."""
    found = shown(catch_all(Unknown.BLOCK_ALL, None))

    assert found["name"] == "block_all"
    assert found["domains"] == ["*"]
    assert found["routes"][0]["direct_response"] == {"status": 502}


def test_request_let_through_has_no_limit_of_time() -> None:
    (route,) = shown(catch_all(Unknown.ALLOW_ANY, "PassthroughCluster"))["routes"]

    assert (route["route"]["cluster"], route["route"]["timeout"]) == (names.PASSTHROUGH_CLUSTER, "0s")


def test_forward_proxy_asked_for_itself_refuses() -> None:
    """It would ask itself, and so on."""
    found = shown(forward_proxy_itself(own_addresses(BOUND)))

    assert found["domains"] == ["127.0.0.1:15080", "localhost:15080"]
    assert found["routes"][0]["direct_response"]["status"] == 502


def test_attempts_are_told_to_unknown_hosts_unless_the_mesh_does_not_want_it() -> None:
    assert catch_all(Unknown.ALLOW_ANY, "PassthroughCluster").include_request_attempt_count
    quiet = ProxyHeaders(attempt_count=False)
    assert not catch_all(Unknown.ALLOW_ANY, "PassthroughCluster", quiet).include_request_attempt_count
