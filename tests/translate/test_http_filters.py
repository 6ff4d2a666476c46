"""The order of HTTP filters."""

from __future__ import annotations

from xds_server.translate.http_filters import CORS, DYNAMIC_FORWARD_PROXY, FAULT, GRPC_STATS, ROUTER, http_filters


def test_router_is_last_and_the_forward_proxy_right_before_it() -> None:
    """Envoy demands the first; the lookup must be for the cluster that the router is about to use."""
    names = [f.name for f in http_filters(dynamic_forward_proxy=True)]

    assert names == [GRPC_STATS, FAULT, CORS, DYNAMIC_FORWARD_PROXY, ROUTER]


def test_forward_proxy_is_there_only_where_it_is_wanted() -> None:
    assert [f.name for f in http_filters()] == [GRPC_STATS, FAULT, CORS, ROUTER]
