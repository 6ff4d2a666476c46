"""What comes in for the application: `virtualInbound` where traffic is captured, else one listener per port.

A port's HTTP filters and routes stand in the listener itself: they change only when the application's ports do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.mesh.service import Protocol
from xds_server.mesh.view import InboundPort
from xds_server.translate import names, pack
from xds_server.translate.endpoint import address
from xds_server.translate.filter_chain import (
    DETECTION_TIMEOUT,
    HTTP_DETECTED,
    http_inspector,
    matching,
    original_dst,
)
from xds_server.translate.http_connection_manager import inbound_http
from xds_server.translate.retry import INBOUND_DEFAULT
from xds_server.translate.tcp_proxy import TcpTarget, tcp_proxy
from xds_server.translate.timeout import inbound_stream_duration, request_timeout
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

CAPTURED_PORT = 15006
"""Where iptables sends inbound TCP (Istio's port)."""
_INBOUND = core_v3.TrafficDirection.INBOUND


@dataclass(frozen=True, slots=True)
class CapturedInbound:
    """All inbound ports of a proxy whose traffic is captured."""

    ports: tuple[InboundPort, ...]


@dataclass(frozen=True, slots=True)
class BoundInbound:
    """One inbound port that the proxy binds itself."""

    port: InboundPort
    bind: str


def captured_inbound(inbound: CapturedInbound) -> Resource:
    """`virtualInbound`: a chain for every port, and for all others one that passes on what it finds."""
    message = listener_v3.Listener(
        name=names.VIRTUAL_INBOUND,
        address=address(names.WILDCARD_ADDRESS, CAPTURED_PORT),
        traffic_direction=_INBOUND,
        listener_filters=[original_dst(), http_inspector(p.number for p in inbound.ports if not _is_detected(p))],
        listener_filters_timeout=DETECTION_TIMEOUT,
        continue_on_listener_filters_timeout=True,
        filter_chains=[
            _black_hole(),
            *(chain for port in inbound.ports for chain in _chains(port, captured=True)),
            *_catch_all(),
        ],
    )
    fixed = (names.BLACK_HOLE_CLUSTER, names.INBOUND_PASSTHROUGH_CLUSTER)
    clusters = (*fixed, *(names.inbound_cluster(port.number) for port in inbound.ports))
    return pack.resource(type_url.LISTENER, message.name, message, [(type_url.CLUSTER, name) for name in clusters])


def bound_inbound(inbound: BoundInbound) -> Resource:
    """The listener of one port, bound by the proxy itself."""
    port = inbound.port
    detected = _is_detected(port)
    message = listener_v3.Listener(
        name=names.listener(inbound.bind, port.number),
        address=address(inbound.bind, port.number),
        traffic_direction=_INBOUND,
        listener_filters=[http_inspector()] if detected else [],
        listener_filters_timeout=DETECTION_TIMEOUT if detected else None,
        continue_on_listener_filters_timeout=detected,
        filter_chains=list(_chains(port, captured=False)),
    )
    refs = [(type_url.CLUSTER, names.inbound_cluster(port.number))]
    return pack.resource(type_url.LISTENER, message.name, message, refs)


def _is_detected(port: InboundPort) -> bool:
    return port.protocol is Protocol.AUTO


def _chains(port: InboundPort, *, captured: bool) -> Iterator[listener_v3.FilterChain]:
    """HTTP and all else where the protocol is detected, otherwise what is declared.

    `captured` ports share one listener, so each chain says its port.
    """
    name = names.listener(names.WILDCARD_ADDRESS, port.number)
    number = port.number if captured else None
    detected = _is_detected(port)
    if port.protocol.is_http or detected:
        yield matching([_http(port)], _match(number, HTTP_DETECTED if detected else ()), name=name)
    if not port.protocol.is_http:
        yield matching([tcp_proxy(TcpTarget(names.inbound_cluster(port.number)))], _match(number), name=name)


def _match(port: int | None, protocols: Sequence[str] = ()) -> listener_v3.FilterChainMatch | None:
    if port is None and not protocols:
        return None
    return listener_v3.FilterChainMatch(destination_port=port, application_protocols=list(protocols))


def _http(port: InboundPort) -> listener_v3.Filter:
    prefix = names.http_stat_prefix(names.Direction.INBOUND, names.WILDCARD_ADDRESS, port.number)
    host = port.service_host or "inbound"
    routes = inbound_routes(
        names.inbound_cluster(port.number),
        names.inbound_virtual_host(port.service_port),
        f"{host}:{port.service_port}/*",
        retries=port.protocol not in {Protocol.GRPC, Protocol.GRPC_WEB},
    )
    return inbound_http(prefix, routes)


def inbound_routes(cluster: str, virtual_host: str, operation: str, *, retries: bool) -> route_v3.RouteConfiguration:
    """The one route to the application: no limit of time, and a retry where it cannot have seen the request.

    `retries` is false for gRPC, whose clients retry by themselves (Istio's rule).
    """
    action = route_v3.RouteAction(
        cluster=cluster,
        timeout=request_timeout(None),
        max_stream_duration=inbound_stream_duration(),
        retry_policy=INBOUND_DEFAULT if retries else None,
    )
    route = route_v3.Route(
        name="default",
        match=route_v3.RouteMatch(prefix="/"),
        route=action,
        decorator=route_v3.Decorator(operation=operation),
    )
    host = route_v3.VirtualHost(name=virtual_host, domains=["*"], routes=[route])
    return route_v3.RouteConfiguration(name=cluster, virtual_hosts=[host], validate_clusters=False)


def _black_hole() -> listener_v3.FilterChain:
    """A connection to the captured port itself was not captured: passed on, it would come back for ever."""
    match = listener_v3.FilterChainMatch(destination_port=CAPTURED_PORT)
    name = names.VIRTUAL_INBOUND_BLACK_HOLE_CHAIN
    return matching([tcp_proxy(TcpTarget(names.BLACK_HOLE_CLUSTER))], match, name=name)


def _catch_all() -> tuple[listener_v3.FilterChain, listener_v3.FilterChain]:
    """Ports that no policy names: passed to where they were going, as HTTP where it is HTTP."""
    cluster = names.INBOUND_PASSTHROUGH_CLUSTER
    prefix = names.http_stat_prefix(names.Direction.INBOUND, names.WILDCARD_ADDRESS, 0)
    routes = inbound_routes(cluster, names.inbound_virtual_host(0), ":0/*", retries=True)
    http = listener_v3.FilterChainMatch(application_protocols=list(HTTP_DETECTED))
    return (
        matching([inbound_http(prefix, routes)], http, name=names.VIRTUAL_INBOUND_CATCH_ALL_HTTP_CHAIN),
        matching([tcp_proxy(TcpTarget(cluster))], name=names.VIRTUAL_INBOUND),
    )
