"""One mesh Route as Envoy is told it: its match, its one action, and what each feature adds.

The features have modules of their own and give back values; this puts them together. A route is made for one port of
one virtual host, since destinations that name no port depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from envoy_data_plane.google import protobuf

from xds_server.mesh.proxy_settings import ISTIO_HEADERS, ProxyHeaders
from xds_server.mesh.route import Destination, HeaderOperations, MatchKind, Rewrite, Route, RouteAction
from xds_server.mesh.route import WeightedDestination as Weighted
from xds_server.mesh.traffic import HashKey
from xds_server.problem import Origin
from xds_server.translate import http_filters, names
from xds_server.translate.cors import cors_policy
from xds_server.translate.encode import any_of
from xds_server.translate.fault import http_fault
from xds_server.translate.hash_policy import hash_policy
from xds_server.translate.headers import host_rewrite, request_headers_to_add, response_headers_to_add
from xds_server.translate.match import EVERYTHING, regex_matcher, route_match
from xds_server.translate.metadata import struct
from xds_server.translate.mirror import mirror_policy
from xds_server.translate.redirect import direct_response_action, redirect_action
from xds_server.translate.retry import retry_policy
from xds_server.translate.timeout import request_timeout, stream_duration


@dataclass(frozen=True, slots=True)
class Place:
    """Where routes are used.

    Attributes:
        port: the port that requests come in on.
        missing: names of clusters that the proxy does not get; what would be sent there answers 503.
        headers: those of every proxy.
    """

    port: int
    missing: frozenset[str] = frozenset()
    headers: ProxyHeaders = ISTIO_HEADERS

    def cluster(self, destination: Destination) -> str:
        """Where requests for `destination` go: its cluster, or the one that answers 503 when it has none here."""
        if not destination.exists_on(self.port):
            return names.BLACK_HOLE_CLUSTER
        name = names.outbound_cluster(destination.port_on(self.port), destination.subset, destination.host)
        return names.BLACK_HOLE_CLUSTER if name in self.missing else name


def envoy_route(route: Route, place: Place) -> route_v3.Route:
    """`route` as Envoy takes it."""
    operations = _header_operations(route)
    forwards = route.action is RouteAction.FORWARD
    responds = route.action is RouteAction.DIRECT_RESPONSE
    return route_v3.Route(
        name=route.name,
        match=route_match(route.match),
        route=_route_action(route, place) if forwards else None,
        redirect=redirect_action(route.redirect, place.port) if route.redirect else None,
        direct_response=direct_response_action(route.direct_response) if responds and route.direct_response else None,
        metadata=_istio_config(route.origin) if route.origin else None,
        decorator=route_v3.Decorator(operation=_operation(route, place.port)),
        typed_per_filter_config=_filter_settings(route),
        request_headers_to_add=[header for each in operations for header in request_headers_to_add(each)],
        request_headers_to_remove=[name for each in operations for name in each.request_remove],
        response_headers_to_add=[header for each in operations for header in response_headers_to_add(each)],
        response_headers_to_remove=[name for each in operations for name in each.response_remove],
        stat_prefix=route.match.stat_prefix,
    )


def clusters_of(route: route_v3.Route) -> Iterator[str]:
    """Names of the clusters that `route` sends to, mirrors included."""
    action = route.route
    if action is None:
        return
    if action.cluster is not None:
        yield action.cluster
    if action.weighted_clusters is not None:
        yield from (weighted.name for weighted in action.weighted_clusters.clusters)
    yield from (mirror.cluster for mirror in action.request_mirror_policies)


def _route_action(route: Route, place: Place) -> route_v3.RouteAction:
    single = _single(route)
    rewrite = route.rewrite or Rewrite()
    host = rewrite.authority or _host_rewrite(route)
    return route_v3.RouteAction(
        cluster=place.cluster(single.destination) if single else None,
        weighted_clusters=None if single else _weighted_clusters(route.destinations, place),
        timeout=request_timeout(route.timeout),
        max_stream_duration=stream_duration(route.timeout),
        retry_policy=retry_policy(route.retry) if route.retry else None,
        hash_policy=[hash_policy(key) for key in _hash_keys(route.destinations, place.port)],
        request_mirror_policies=[
            mirror_policy(place.cluster(mirror.destination), mirror.percent)
            for mirror in route.mirrors
            if place.cluster(mirror.destination) != names.BLACK_HOLE_CLUSTER
        ],
        prefix_rewrite=rewrite.uri,
        regex_rewrite=_regex_rewrite(rewrite),
        host_rewrite_literal=host,
        append_x_forwarded_host=host is not None and place.headers.original_host,
    )


def _single(route: Route) -> Weighted | None:
    """The only destination of a route that forwards."""
    forwards = route.action is RouteAction.FORWARD
    return route.destinations[0] if forwards and len(route.destinations) == 1 else None


def _weighted_clusters(shares: tuple[Weighted, ...], place: Place) -> route_v3.WeightedCluster:
    return route_v3.WeightedCluster(
        clusters=[
            route_v3.WeightedClusterClusterWeight(
                name=place.cluster(share.destination),
                weight=share.weight,
                request_headers_to_add=request_headers_to_add(share.headers),
                request_headers_to_remove=list(share.headers.request_remove),
                response_headers_to_add=response_headers_to_add(share.headers),
                response_headers_to_remove=list(share.headers.response_remove),
                host_rewrite_literal=host_rewrite(share.headers),
            )
            for share in shares
        ]
    )


def _header_operations(route: Route) -> tuple[HeaderOperations, ...]:
    """The route's own; a single destination has no weighted cluster to carry its, so they follow."""
    single = _single(route)
    return (route.headers, single.headers) if single else (route.headers,)


def _host_rewrite(route: Route) -> str | None:
    return next((host for each in _header_operations(route) if (host := host_rewrite(each)) is not None), None)


def _regex_rewrite(rewrite: Rewrite) -> matcher_v3.RegexMatchAndSubstitute | None:
    if rewrite.regex is None:
        return None
    pattern, substitution = rewrite.regex
    return matcher_v3.RegexMatchAndSubstitute(pattern=regex_matcher(pattern), substitution=substitution)


def _hash_keys(shares: tuple[Weighted, ...], port: int) -> list[HashKey]:
    """What the destinations' traffic rules hash, each once, in order."""
    policies = (
        share.destination.backend.traffic.policy_for(share.destination.port_on(port), share.destination.subset)
        for share in shares
        if share.destination.backend is not None
    )
    keys = (policy.load_balancer.hash_key for policy in policies)
    return list(dict.fromkeys(key for key in keys if key is not None))


def _filter_settings(route: Route) -> dict[str, protobuf.Any]:
    settings = {}
    if route.fault is not None:
        settings[http_filters.FAULT] = any_of(http_fault(route.fault))
    if route.cors is not None:
        settings[http_filters.CORS] = any_of(cors_policy(route.cors))
    return settings


def _istio_config(origin: Origin) -> core_v3.Metadata:
    """Where Istio's tools look for the policy behind a route."""
    path = names.config_path("virtual-service", origin.namespace, origin.name)
    return core_v3.Metadata(filter_metadata={"istio": struct({"config": path})})


def _operation(route: Route, port: int) -> str:
    """What traces call the request: `host:port/path*`, by the VirtualService where no single destination says it."""
    uri = route.match.uri or EVERYTHING
    path = {MatchKind.EXACT: uri.value, MatchKind.PREFIX: f"{uri.value}*"}.get(uri.kind, "*")
    if single := _single(route):
        return f"{single.destination.host}:{single.destination.port_on(port)}{path}"
    return f"{route.origin.name if route.origin else ''}:{port}{path}"
