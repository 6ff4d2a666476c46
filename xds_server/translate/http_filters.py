"""Which HTTP filters run, and in which order: the one table, with the reason for each place."""

from __future__ import annotations

from collections.abc import Mapping

import betterproto2
from envoy_data_plane.envoy.extensions.filters.http.cors import v3 as cors_v3
from envoy_data_plane.envoy.extensions.filters.http.dynamic_forward_proxy import v3 as dynamic_forward_proxy_v3
from envoy_data_plane.envoy.extensions.filters.http.fault import v3 as fault_v3
from envoy_data_plane.envoy.extensions.filters.http.grpc_stats import v3 as grpc_stats_v3
from envoy_data_plane.envoy.extensions.filters.http.router import v3 as router_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

from xds_server.translate.dynamic_dns import dns_cache
from xds_server.translate.encode import any_of, shared

GRPC_STATS = "envoy.filters.http.grpc_stats"
FAULT = "envoy.filters.http.fault"
CORS = "envoy.filters.http.cors"
DYNAMIC_FORWARD_PROXY = "envoy.filters.http.dynamic_forward_proxy"
ROUTER = "envoy.filters.http.router"


def http_filters(*, dynamic_forward_proxy: bool = False, envoy_headers: bool = True) -> list[hcm_v3.HttpFilter]:
    """The filters of an HTTP connection manager, first to run first.

    `dynamic_forward_proxy` is for the one that sends requests to hosts of which nothing is known; without
    `envoy_headers` the router adds none of its own.
    """
    return [_filter(name, envoy_headers) for name in _ORDER if dynamic_forward_proxy or name != DYNAMIC_FORWARD_PROXY]


@shared
def _filter(name: str, envoy_headers: bool) -> hcm_v3.HttpFilter:
    config = _ORDER[name]
    return hcm_v3.HttpFilter(name=name, typed_config=any_of(config if envoy_headers else _QUIET.get(name, config)))


_ORDER: Mapping[str, betterproto2.Message] = {
    # Counts how calls of gRPC end, which HTTP calls 200. First, so that it sees what any other answers. Not by method:
    # a caller names those, and could make as many statistics as it likes.
    GRPC_STATS: grpc_stats_v3.FilterConfig(stats_for_all_methods=False),
    # An injected fault stands for a network or server that fails, so it comes before anything answers. Does nothing
    # without a route's own settings, nor does cors.
    FAULT: fault_v3.HttpFault(),
    # Answers preflights itself, so it must stand before whatever sends the request on.
    CORS: cors_v3.Cors(),
    # Looks the host up in DNS for the cluster that the router is about to use: right before it.
    DYNAMIC_FORWARD_PROXY: dynamic_forward_proxy_v3.FilterConfig(dns_cache_config=dns_cache()),
    # Sends the request; Envoy demands it to be last.
    ROUTER: router_v3.Router(),
}
"""Istio's order (pilot/pkg/networking/core, buildHTTPConnectionManager), without what only istio-proxy has."""
_QUIET: dict[str, betterproto2.Message] = {ROUTER: router_v3.Router(suppress_envoy_headers=True)}
"""The filters that tell of Envoy's work in headers, told not to."""
