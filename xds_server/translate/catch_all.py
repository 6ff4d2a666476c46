"""The virtual host for requests to hosts that no policy names: let through, or refused."""

from __future__ import annotations

import enum

from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.mesh.egress import NOWHERE
from xds_server.mesh.proxy_settings import ISTIO_HEADERS, ProxyHeaders
from xds_server.mesh.route import DirectResponse
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.mesh.view import View
from xds_server.mesh.workload import Interception
from xds_server.translate import names
from xds_server.translate.redirect import direct_response_action
from xds_server.translate.timeout import request_timeout, stream_duration

BAD_GATEWAY = 502
"""What Istio answers for a host that is not in the registry."""


class Unknown(enum.StrEnum):
    """What becomes of a request to an unknown host; the names are those of the virtual hosts."""

    ALLOW_ANY = names.ALLOW_ANY
    ALLOW_ANY_DYNAMIC_DNS = names.ALLOW_ANY_DYNAMIC_DNS
    BLOCK_ALL = names.BLOCK_ALL


_CLUSTERS = {
    Unknown.ALLOW_ANY: names.PASSTHROUGH_CLUSTER,
    Unknown.ALLOW_ANY_DYNAMIC_DNS: names.DYNAMIC_DNS_CLUSTER,
}


def unknown_hosts(view: View, *, port: int = 0, forward_proxy: bool = False) -> Unknown:
    """What `view` does with requests to unknown hosts, on its captured ports or on its forward proxy's.

    A port bound on loopback was asked for itself, so its unknown hosts are refused whatever the policy: a name that
    resolves to loopback, looked up again, would bring the request back for ever.
    """
    if view.outbound_policy is OutboundPolicy.REGISTRY_ONLY:
        return Unknown.BLOCK_ALL
    if view.egress.proxy is not None:
        return Unknown.ALLOW_ANY
    if view.interception is Interception.REDIRECT:
        return Unknown.BLOCK_ALL if view.egress.is_bound(port) else Unknown.ALLOW_ANY
    return Unknown.ALLOW_ANY_DYNAMIC_DNS if forward_proxy else Unknown.BLOCK_ALL


def unknown_cluster(view: View, unknown: Unknown) -> str | None:
    """Where it goes; None when it is refused."""
    proxy = view.egress.proxy
    if unknown is not Unknown.ALLOW_ANY or proxy is None:
        return _CLUSTERS.get(unknown)
    return names.BLACK_HOLE_CLUSTER if proxy == NOWHERE else names.outbound_cluster(*proxy)


def catch_all(unknown: Unknown, cluster: str | None, headers: ProxyHeaders = ISTIO_HEADERS) -> route_v3.VirtualHost:
    """The virtual host "*"; `cluster` None refuses every request."""
    route = route_v3.Route(
        name=unknown.value,
        match=route_v3.RouteMatch(prefix="/"),
        route=_to(cluster) if cluster else None,
        direct_response=None if cluster else direct_response_action(DirectResponse(BAD_GATEWAY)),
    )
    counted = headers.attempt_count
    return route_v3.VirtualHost(
        name=unknown.value, domains=["*"], routes=[route], include_request_attempt_count=counted
    )


def own_addresses(view: View) -> tuple[str, ...]:
    """What the forward proxy itself is called in a request that asks it for itself, which would never end."""
    hosts = dict.fromkeys((view.bind_address, "localhost", "127.0.0.1"))
    return tuple(f"{host}:{view.http_proxy_port}" for host in hosts)


def forward_proxy_itself(domains: tuple[str, ...]) -> route_v3.VirtualHost:
    """The virtual host that refuses those."""
    response = direct_response_action(DirectResponse(BAD_GATEWAY, b"this is the forward proxy itself"))
    route = route_v3.Route(match=route_v3.RouteMatch(prefix="/"), direct_response=response)
    return route_v3.VirtualHost(name="forward_proxy_itself", domains=list(domains), routes=[route])


def _to(cluster: str) -> route_v3.RouteAction:
    no_limit = stream_duration(None)
    return route_v3.RouteAction(cluster=cluster, timeout=request_timeout(None), max_stream_duration=no_limit)
