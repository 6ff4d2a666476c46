"""What comes in for the application: `virtualInbound` where traffic is captured, else one listener per port.

Which connections a port takes is `mutual_tls.py`'s to say; here each way in becomes a filter chain.
A port's HTTP filters and routes stand in the listener itself: they change only when the application's ports do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS, ProxySettings
from xds_server.mesh.route import Retry
from xds_server.mesh.security import MutualTls
from xds_server.mesh.service import Protocol
from xds_server.mesh.telemetry import NO_REPORTS, Reports
from xds_server.mesh.view import InboundPort
from xds_server.translate import mesh_tls, names, pack
from xds_server.translate.access_log import listener_logs
from xds_server.translate.collector import collector_refs
from xds_server.translate.endpoint import address
from xds_server.translate.filter_chain import (
    http_inspector,
    matching,
    original_dst,
    tls_inspector,
)
from xds_server.translate.http_connection_manager import inbound_http
from xds_server.translate.mutual_tls import TLS, Reading, WayIn, ways_in
from xds_server.translate.refusal_log import refusal_log
from xds_server.translate.retry import retry_policy
from xds_server.translate.server_tls import ServerSecurity, server_security
from xds_server.translate.stat_name import inbound_stat_name
from xds_server.translate.tcp_proxy import TcpTarget, tcp_proxy
from xds_server.translate.timeout import inbound_stream_duration, request_timeout
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

_INBOUND = core_v3.TrafficDirection.INBOUND
OTHER_PORTS = ":0/*"
"""What traces call requests that come in by a port that no service has (Istio's)."""


@dataclass(frozen=True, slots=True)
class CapturedInbound:
    """All inbound ports of a proxy whose traffic is captured.

    Attributes:
        mutual_tls: what callers of all other ports are asked for.
        trust_domain: None for a proxy without an identity.
        reports: what it tells of requests and connections.
    """

    ports: tuple[InboundPort, ...]
    mutual_tls: MutualTls = MutualTls.PERMISSIVE
    trust_domain: TrustDomain | None = None
    settings: ProxySettings = ISTIO_SETTINGS
    reports: Reports = NO_REPORTS


@dataclass(frozen=True, slots=True)
class BoundInbound:
    """One inbound port that the proxy binds itself; `trust_domain` is None for a proxy without an identity."""

    port: InboundPort
    bind: str
    trust_domain: TrustDomain | None = None
    settings: ProxySettings = ISTIO_SETTINGS
    reports: Reports = NO_REPORTS


@dataclass(frozen=True, slots=True)
class _Door:
    """A port, or all that have no door of their own.

    Attributes:
        ways: none keeps it closed.
        cluster: where what comes in is sent.
        match_port: the port that its chains match; None where they need not.
        name, http_name: of its chains.
        operation: what traces call its requests.
        reports: what is told of its requests and connections.
    """

    port: InboundPort
    ways: tuple[WayIn, ...]
    cluster: str
    match_port: int | None
    name: str
    http_name: str
    operation: str
    reports: Reports

    @property
    def takes_mesh_tls(self) -> bool:
        """Whether the proxy ends the mesh's TLS there."""
        return any(way.mesh_tls for way in self.ways)

    @property
    def ends_tls(self) -> bool:
        """Whether the proxy ends any TLS there."""
        return self.takes_mesh_tls or self.port.tls is not None


def captured_inbound(inbound: CapturedInbound) -> Resource:
    """`virtualInbound`: chains for every port, and for all others some that pass on what they find."""
    has_identity = inbound.trust_domain is not None
    doors = [_door(port, inbound.reports, captured=True, has_identity=has_identity) for port in inbound.ports]
    others = _other_ports(inbound.mutual_tls, inbound.reports, has_identity=has_identity)
    secure = any(door.takes_mesh_tls for door in (*doors, others))
    inspects = any(door.ends_tls for door in (*doors, others))
    declared = (port.number for port in inbound.ports if not _is_detected(port))
    message = listener_v3.Listener(
        name=names.VIRTUAL_INBOUND,
        address=address(names.WILDCARD_ADDRESS, inbound.settings.inbound_port),
        traffic_direction=_INBOUND,
        listener_filters=[
            original_dst(),
            *([_captured_tls_inspector(doors, others)] if inspects else []),
            http_inspector(declared),
        ],
        listener_filters_timeout=inbound.settings.detection_timeout,
        continue_on_listener_filters_timeout=True,
        filter_chains=[
            _black_hole(inbound.settings.inbound_port, inbound.reports),
            *_chains((*doors, others), inbound.trust_domain, inbound.settings),
        ],
        access_log=[*([refusal_log()] if secure else []), *listener_logs(inbound.reports)],
    )
    clusters = (names.BLACK_HOLE_CLUSTER, others.cluster, *(door.cluster for door in doors))
    refs = [*_refs(clusters, inbound.reports, secure=secure), *_own_refs(inbound.ports, inbound.settings)]
    return pack.resource(type_url.LISTENER, message.name, message, refs, inbound.reports.origins)


def bound_inbound(inbound: BoundInbound) -> Resource:
    """The listener of one port, bound by the proxy itself."""
    port = inbound.port
    door = _door(port, inbound.reports, captured=False, has_identity=inbound.trust_domain is not None)
    secure, inspects, detected = door.takes_mesh_tls, door.ends_tls, _is_detected(port)
    message = listener_v3.Listener(
        name=names.listener(inbound.bind, port.number),
        address=address(inbound.bind, port.number),
        traffic_direction=_INBOUND,
        listener_filters=[*([tls_inspector()] if inspects else []), *([http_inspector()] if detected else [])],
        listener_filters_timeout=inbound.settings.detection_timeout if detected or inspects else None,
        continue_on_listener_filters_timeout=detected or inspects,
        filter_chains=list(_chains([door], inbound.trust_domain, inbound.settings)),
        access_log=[*([refusal_log()] if secure else []), *listener_logs(inbound.reports)],
    )
    cluster = door.cluster if door.ways else names.BLACK_HOLE_CLUSTER
    refs = [*_refs([cluster], inbound.reports, secure=secure), *_own_refs([port], inbound.settings)]
    return pack.resource(type_url.LISTENER, message.name, message, refs, inbound.reports.origins)


def _is_detected(port: InboundPort) -> bool:
    return port.protocol is Protocol.AUTO


def _door(port: InboundPort, reports: Reports, *, captured: bool, has_identity: bool) -> _Door:
    """`captured` ports share one listener, so each chain says its port."""
    name = names.listener(names.WILDCARD_ADDRESS, port.number)
    return _Door(
        port=port,
        ways=(_own_way(port),) if port.tls else ways_in(port.protocol, port.mutual_tls, has_identity=has_identity),
        cluster=names.INBOUND_PASSTHROUGH_CLUSTER if port.passed_on else names.inbound_cluster(port.number),
        match_port=port.number if captured else None,
        name=name,
        http_name=name,
        operation=OTHER_PORTS if port.passed_on else f"{port.service_host or 'inbound'}:{port.service_port}/*",
        reports=reports,
    )


def _own_way(port: InboundPort) -> WayIn:
    """TLS that is not the mesh's, and HTTP inside where the port says HTTPS."""
    return WayIn(Reading.HTTP if _is_https(port) else Reading.TCP, transport=TLS)


def _is_https(port: InboundPort) -> bool:
    return port.protocol is Protocol.HTTPS


def own_security(port: InboundPort, settings: ProxySettings) -> ServerSecurity | None:
    """The TLS that a proxy ends on one port and that is not the mesh's; None for none."""
    return server_security(port.tls, None, http=_is_https(port), settings=settings) if port.tls else None


def _own_refs(ports: Iterable[InboundPort], settings: ProxySettings) -> Iterator[tuple[str, str]]:
    for port in ports:
        if security := own_security(port, settings):
            yield from security.refs


def _other_ports(mode: MutualTls, reports: Reports, *, has_identity: bool) -> _Door:
    """Ports that no policy names: passed to where they were going, as HTTP where it is HTTP."""
    return _Door(
        port=InboundPort(0, Protocol.AUTO, mutual_tls=mode),
        ways=ways_in(Protocol.AUTO, mode, has_identity=has_identity),
        cluster=names.INBOUND_PASSTHROUGH_CLUSTER,
        match_port=None,
        name=names.VIRTUAL_INBOUND,
        http_name=names.VIRTUAL_INBOUND_CATCH_ALL_HTTP_CHAIN,
        operation=OTHER_PORTS,
        reports=reports,
    )


def _captured_tls_inspector(doors: Sequence[_Door], others: _Door) -> listener_v3.ListenerFilter:
    """Looks for TLS on the ports where the proxy ends it, and on no others."""
    if others.ends_tls:
        return tls_inspector(not_on=[door.port.number for door in doors if not door.ends_tls])
    return tls_inspector(only_on=[door.port.number for door in doors if door.ends_tls])


def _chains(
    doors: Iterable[_Door], trust_domain: TrustDomain | None, settings: ProxySettings
) -> Iterator[listener_v3.FilterChain]:
    """One chain for each way in, and one that closes every connection for a door without any."""
    server = mesh_tls.server_socket(trust_domain, settings.mesh_tls) if trust_domain else None
    for door in doors:
        if not door.ways:
            closing = tcp_proxy(TcpTarget(names.BLACK_HOLE_CLUSTER), door.reports)
            yield matching([closing], _match(door.match_port, WayIn(Reading.TCP)), name=door.name)
        filters = {reading: _filter(reading, door, settings) for reading in {way.reading for way in door.ways}}
        own = own_security(door.port, settings)
        for way in door.ways:
            yield matching(
                [filters[way.reading]],
                _match(door.match_port, way),
                name=door.http_name if way.reading is Reading.HTTP else door.name,
                socket=own.socket if own else server if way.mesh_tls else None,
            )


def _match(port: int | None, way: WayIn) -> listener_v3.FilterChainMatch | None:
    if port is None and not way.transport and not way.protocols:
        return None
    return listener_v3.FilterChainMatch(
        destination_port=port, transport_protocol=way.transport, application_protocols=list(way.protocols)
    )


def _filter(reading: Reading, door: _Door, settings: ProxySettings) -> listener_v3.Filter:
    port = door.port
    if reading is Reading.TCP:
        pattern = settings.inbound_stat_name
        called = inbound_stat_name(pattern, port) if pattern and port.service_host else ""
        return tcp_proxy(TcpTarget(door.cluster, stat_name=called), door.reports)
    prefix = names.http_stat_prefix(names.Direction.INBOUND, names.WILDCARD_ADDRESS, port.number)
    routes = inbound_routes(
        door.cluster,
        names.inbound_virtual_host(port.service_port),
        door.operation,
        None if port.protocol in {Protocol.GRPC, Protocol.GRPC_WEB} else settings.inbound_retry,
    )
    return inbound_http(prefix, routes, settings, door.reports)


def _refs(clusters: Iterable[str], reports: Reports, *, secure: bool) -> list[tuple[str, str]]:
    used = ((type_url.CLUSTER, name) for name in clusters)
    return [*used, *collector_refs(reports), *(mesh_tls.REFS if secure else ())]


def inbound_routes(cluster: str, virtual_host: str, operation: str, retry: Retry | None) -> route_v3.RouteConfiguration:
    """The one route to the application: no limit of time, and a retry where it cannot have seen the request.

    `retry` is None for gRPC, whose clients retry by themselves (Istio's rule).
    """
    action = route_v3.RouteAction(
        cluster=cluster,
        timeout=request_timeout(None),
        max_stream_duration=inbound_stream_duration(),
        retry_policy=retry_policy(retry) if retry else None,
    )
    route = route_v3.Route(
        name="default",
        match=route_v3.RouteMatch(prefix="/"),
        route=action,
        decorator=route_v3.Decorator(operation=operation),
    )
    host = route_v3.VirtualHost(name=virtual_host, domains=["*"], routes=[route])
    return route_v3.RouteConfiguration(name=cluster, virtual_hosts=[host], validate_clusters=False)


def _black_hole(captured_port: int, reports: Reports) -> listener_v3.FilterChain:
    """A connection to the captured port itself was not captured: passed on, it would come back for ever."""
    match = listener_v3.FilterChainMatch(destination_port=captured_port)
    name = names.VIRTUAL_INBOUND_BLACK_HOLE_CHAIN
    return matching([tcp_proxy(TcpTarget(names.BLACK_HOLE_CLUSTER), reports)], match, name=name)
