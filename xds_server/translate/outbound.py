"""What the application sends out: one listener per port for HTTP, one per virtual IP and port for everything else.

`outbound_listeners` decides which there are and what each must tell apart, as small values; `outbound` builds one.
Nothing here depends on HTTP routes or endpoints, so editing those leaves every listener as it is.

Where several services want one address and port, HTTP goes by host name, TLS by server name, and all other bytes to the
service that is first by name. Istio decides such a clash by age, and then for one of them altogether.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from xds_server.mesh.egress import EgressSocket
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS, ProxySettings
from xds_server.mesh.route import Backend, ConnectionRoute
from xds_server.mesh.service import Port, Protocol, Resolution, Service
from xds_server.mesh.telemetry import NO_REPORTS, Reports
from xds_server.mesh.view import View
from xds_server.mesh.workload import Interception
from xds_server.problem import Origin
from xds_server.translate import catch_all, names, pack
from xds_server.translate.access_log import listener_logs
from xds_server.translate.catch_all import Unknown, unknown_hosts
from xds_server.translate.collector import collector_refs
from xds_server.translate.endpoint import address
from xds_server.translate.filter_chain import (
    HTTP_DETECTED,
    PLAINTEXT,
    cidr_range,
    http_inspector,
    matching,
    tls_inspector,
)
from xds_server.translate.http_connection_manager import outbound_http
from xds_server.translate.tcp_proxy import TcpTarget, clusters_of, routed_target, tcp_filters, tcp_proxy, tcp_target
from xds_server.translate.virtual_host import applies, http_ports
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

FIRST_UNPRIVILEGED_PORT = 1024
"""Lower ports cannot be bound without privileges; the forward proxy still serves what is behind them."""


@dataclass(frozen=True, slots=True)
class Told:
    """Connections that are told from others on a listener by where they go and whom they ask for.

    Attributes:
        server_names: of a TLS connection; () for any, and for plain ones.
        ranges: destination addresses; () for any.
        detects_http: HTTP among them is routed request by request.
    """

    server_names: tuple[str, ...]
    ranges: tuple[str, ...]
    target: TcpTarget
    detects_http: bool = False


@dataclass(frozen=True, slots=True)
class Outbound:
    """One outbound listener.

    Attributes:
        bound: the proxy binds it itself; otherwise `virtualOutbound` hands it connections.
        route: the RouteConfiguration for HTTP; "" when none is expected.
        told: connections that are told apart; no two take the same.
        otherwise: where everything else goes; None closes it.
        origins: the documents of the service that is first on it.
        settings: those of every proxy.
        reports: what it tells of its requests and connections.
    """

    address: str
    port: int
    bound: bool
    route: str = ""
    told: tuple[Told, ...] = ()
    otherwise: TcpTarget | None = None
    dynamic_forward_proxy: bool = False
    origins: tuple[Origin, ...] = ()
    settings: ProxySettings = ISTIO_SETTINGS
    reports: Reports = NO_REPORTS


def outbound_listeners(view: View) -> tuple[Outbound, ...]:
    """The outbound listeners of `view` besides `virtualOutbound`, each address and port once."""
    slots = _Slots(view)
    first_by_port: dict[int, Backend | None] = {}
    for virtual_host in view.virtual_hosts:
        for number in http_ports(virtual_host):
            shown = number not in first_by_port and view.egress.shows(virtual_host.host, number)
            if shown and not slots.is_told_by_address(virtual_host.backend, number):
                first_by_port[number] = virtual_host.backend
    for number, backend in first_by_port.items():
        slots.add_http(number, backend)
    for each in view.backends:
        if each.service.stream_ports or each.service.resolution is Resolution.DYNAMIC_DNS:
            slots.add_service(each)
    if view.http_proxy_port:
        slots.add_forward_proxy()
    for socket in view.egress.sockets:
        slots.add_socket(socket)
    return slots.listeners()


def outbound(plan: Outbound) -> Resource:
    """The listener that `plan` asks for."""
    detects = _detects_http(plan)
    inspects_tls = any(each.server_names for each in plan.told)
    only_tcp = plan.otherwise is not None and not (plan.route or plan.told)
    default = _otherwise(plan.otherwise, plan.reports) if plan.otherwise else None
    message = listener_v3.Listener(
        name=names.listener(plan.address, plan.port),
        address=address(plan.address, plan.port),
        bind_to_port=None if plan.bound else False,
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        listener_filters=[
            *([tls_inspector()] if inspects_tls else []),
            *([http_inspector()] if detects else []),
        ],
        listener_filters_timeout=plan.settings.detection_timeout if detects or inspects_tls else None,
        continue_on_listener_filters_timeout=detects or inspects_tls,
        filter_chains=[default] if only_tcp and default else list(_chains(plan)),
        default_filter_chain=None if only_tcp else default,
        access_log=listener_logs(plan.reports),
    )
    origins = (*plan.origins, *plan.reports.origins)
    return pack.resource(type_url.LISTENER, message.name, message, _refs(plan), origins)


def virtual_outbound(
    unknown: str, captured_port: int = ISTIO_SETTINGS.outbound_port, reports: Reports = NO_REPORTS
) -> Resource:
    """`virtualOutbound`: hands connections to the listeners they were meant for, all others to cluster `unknown`."""
    to_itself = listener_v3.FilterChainMatch(destination_port=captured_port)
    black_hole = tcp_proxy(TcpTarget(names.BLACK_HOLE_CLUSTER), reports)
    message = listener_v3.Listener(
        name=names.VIRTUAL_OUTBOUND,
        address=address(names.WILDCARD_ADDRESS, captured_port),
        use_original_dst=True,
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        filter_chains=[
            # Not captured, so there is no original destination but this port: passed on, it would come back for ever.
            matching([black_hole], to_itself, name=names.VIRTUAL_OUTBOUND_BLACK_HOLE_CHAIN),
            matching([tcp_proxy(TcpTarget(unknown), reports)], name=names.VIRTUAL_OUTBOUND_CATCH_ALL_CHAIN),
        ],
        access_log=listener_logs(reports),
    )
    refs = [*((type_url.CLUSTER, name) for name in (names.BLACK_HOLE_CLUSTER, unknown)), *collector_refs(reports)]
    return pack.resource(type_url.LISTENER, message.name, message, refs, reports.origins)


def unknown_cluster(view: View) -> str:
    """Where captured connections go that no service takes."""
    return catch_all.unknown_cluster(view, unknown_hosts(view)) or names.BLACK_HOLE_CLUSTER


@dataclass(slots=True)
class _Slot:
    """What is asked so far of one address and port."""

    route: str = ""
    told: list[Told] = field(default_factory=list)
    taken: set[tuple[str, str]] = field(default_factory=set)
    """(server name, range) of `told`: Envoy refuses a listener in which two chains match the same."""
    tcp: TcpTarget | None = None
    dynamic_forward_proxy: bool = False
    origins: tuple[Origin, ...] = ()

    def tell(self, wanted: Told) -> None:
        """Let `wanted` have what nobody before it has."""
        if not wanted.server_names and not wanted.ranges:
            self.tcp = self.tcp or wanted.target
            return
        names_by_ranges: dict[tuple[str, ...], list[str]] = {}
        for name in wanted.server_names or ("",):
            free = tuple(each for each in wanted.ranges or ("",) if (name, each) not in self.taken)
            self.taken.update((name, each) for each in free)
            if free:
                names_by_ranges.setdefault(free, []).append(name)
        for ranges, server_names in names_by_ranges.items():
            self.told.append(replace(wanted, server_names=_written(server_names), ranges=_written(ranges)))


def _written(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if text)


class _Slots:
    """The listeners of one view, taking shape."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._captured = view.interception is Interception.REDIRECT
        self._shared = names.WILDCARD_ADDRESS if self._captured else view.bind_address
        self._addresses = dict(view.names)
        self._binds = {port: where for port, where, _ in view.egress.binds}
        self._slots: dict[tuple[str, int], _Slot] = {}
        self._looks_up = False

    @cached_property
    def _present(self) -> frozenset[Backend]:
        return frozenset(self._view.backends)

    @cached_property
    def _connections(self) -> dict[Backend | None, tuple[ConnectionRoute, ...]]:
        return {host.backend: host.connections for host in self._view.virtual_hosts if host.connections}

    def add_http(self, port: int, backend: Backend | None) -> None:
        """Requests on `port` are routed by host, wherever they were addressed."""
        if self._has(port):
            self._slot(self._where(port), port, backend).route = names.outbound_route(port)

    def is_told_by_address(self, backend: Backend | None, number: int) -> bool:
        """Whether HTTP is only looked for in what goes to the addresses of the service itself (Istio's rule)."""
        if backend is None:
            return False
        detects = backend.service.port_by_number[number].protocol is Protocol.AUTO
        return detects and bool(self._virtual_ips(backend.service)[0])

    def add_service(self, backend: Backend) -> None:
        """Connections to its ports whose protocol is not HTTP, or not known; HTTP comes by `add_http`."""
        service = backend.service
        if service.resolution is Resolution.DYNAMIC_DNS:
            self._looks_up = True
        for port in service.stream_ports:
            if self._view.egress.shows(service.host, port.number):
                self.add_stream(backend, port)

    def add_stream(self, backend: Backend, port: Port) -> None:
        """Connections to one port of a service whose protocol is not HTTP, or not known."""
        if not self._has(port.number):
            return
        detects = port.protocol is Protocol.AUTO
        addresses, ranges = self._virtual_ips(backend.service)
        for where in addresses:
            slot = self._slot(where, port.number, backend)
            slot.route = slot.route or (names.outbound_route(port.number) if detects else "")
        for where in (*addresses, *([self._where(port.number)] if ranges or not addresses else [])):
            slot = self._slot(where, port.number, backend)
            around = ranges if where == self._where(port.number) else ()
            for each in self._wanted(backend, port, by_name=where not in addresses):
                to = each.ranges or around
                slot.tell(replace(each, ranges=to, detects_http=detects and bool(to)))

    def _wanted(self, backend: Backend, port: Port, *, by_name: bool) -> Iterator[Told]:
        """Where a service's connections go, the first that takes one first: VirtualServices, then the service itself.

        TLS rules that hold leave nothing to the service; a TCP rule without subnets ends the list (Istio's rules).
        """
        identity, pattern = self._view.trust_domain, self._view.settings.outbound_stat_name
        routed = [
            Told(
                route.match.server_names,
                route.match.subnets,
                routed_target(route, port.number, self._present, identity, pattern),
            )
            for route in self._connections.get(backend, ())
            if route.tls == port.protocol.is_tls and applies(route.match, port.number, self._view.source)
        ]
        for each in routed:
            yield each
            if not port.protocol.is_tls and not each.ranges:
                return
        if not routed or not port.protocol.is_tls:
            name = backend.service.host.lower() if port.protocol.is_tls and by_name else ""
            if not name.startswith("*") or name.startswith("*."):  # Envoy compares whole labels only
                yield Told(_written([name]), (), tcp_target(backend, port.number, identity, pattern))

    def add_forward_proxy(self) -> None:
        """The port that `http_proxy=` names; it is asked for, so it comes before any service on it."""
        unknown = unknown_hosts(self._view, forward_proxy=True)
        looks_up = unknown is Unknown.ALLOW_ANY_DYNAMIC_DNS
        slot = _Slot(route=names.HTTP_PROXY_ROUTE, dynamic_forward_proxy=looks_up)
        self._slots[(self._shared, self._view.http_proxy_port)] = slot

    def add_socket(self, socket: EgressSocket) -> None:
        """A unix socket: requests go by host, all other bytes to the first port of the first host that takes them."""
        slot = _Slot(route=socket.path if socket.protocol.is_http or socket.protocol is Protocol.AUTO else "")
        if not socket.protocol.is_http:
            reached = (each for each in self._view.backends if each.service.host in socket.hosts)
            ports = ((backend, port) for backend in reached for port in backend.service.stream_ports)
            backend, port = next(ports, (None, None))
            if backend is not None and port is not None:
                pattern = self._view.settings.outbound_stat_name
                slot.tcp = tcp_target(backend, port.number, self._view.trust_domain, pattern)
        if slot.route or slot.tcp:
            self._slots[(socket.path, 0)] = slot

    def listeners(self) -> tuple[Outbound, ...]:
        """All of them."""
        unknown = TcpTarget(unknown_cluster(self._view)) if self._captured else None
        return tuple(
            Outbound(
                address=where,
                port=port,
                bound=not self._captured or not port or self._view.egress.is_bound(port),
                route=slot.route,
                told=tuple(sorted(slot.told, key=lambda each: (not each.server_names, each.server_names))),
                otherwise=slot.tcp or (None if not port or self._view.egress.is_bound(port) else unknown),
                dynamic_forward_proxy=slot.dynamic_forward_proxy or (self._looks_up and bool(slot.route)),
                origins=slot.origins,
                settings=self._view.settings,
                reports=self._view.observed.outbound,
            )
            for (where, port), slot in self._slots.items()
        )

    def _has(self, port: int) -> bool:
        """A service on a port of the two listeners that capture cannot be told from the capture itself."""
        if self._captured:
            return port not in {self._view.settings.outbound_port, self._view.settings.inbound_port}
        return port >= FIRST_UNPRIVILEGED_PORT or port in self._binds

    def _where(self, port: int) -> str:
        """Where the listener of a port stands that is not one virtual IP's: where a Sidecar says, or with all others.

        One that is to be bound although others are captured is for callers on loopback alone.
        """
        loopback = self._captured and self._view.egress.is_bound(port)
        return self._binds.get(port) or (names.LOOPBACK_ADDRESS if loopback else self._shared)

    def _virtual_ips(self, service: Service) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(addresses, ranges) by which connections to `service` can be told, in their shortest spelling.

        Without capture only what can be bound counts: loopback, where 127.0.0.2 and so on keep services apart.
        """
        known = service.addresses or self._addresses.get(service.host, ())
        plain = [ipaddress.ip_address(each) for each in known if "/" not in each]
        if not self._captured:
            return tuple(str(each) for each in plain if each.is_loopback), ()
        ranges = (str(ipaddress.ip_network(each, strict=False)) for each in service.addresses if "/" in each)
        return tuple(str(each) for each in plain), tuple(dict.fromkeys(ranges))

    def _slot(self, where: str, port: int, backend: Backend | None) -> _Slot:
        found = self._slots.get((where, port))
        if found is None:
            origins = backend.service.origins if backend else ()
            found = self._slots[(where, port)] = _Slot(origins=origins)
        return found


def _detects_http(plan: Outbound) -> bool:
    """Whether HTTP must be told from other bytes; a listener that takes nothing else need not look."""
    return bool(plan.route) and bool(plan.otherwise or plan.told)


def _chains(plan: Outbound) -> Iterator[listener_v3.FilterChain]:
    http = list(HTTP_DETECTED)
    if plan.route:
        detected = listener_v3.FilterChainMatch(transport_protocol=PLAINTEXT, application_protocols=http)
        yield matching([_http(plan)], detected if _detects_http(plan) else None)
    for told in plan.told:
        match = listener_v3.FilterChainMatch(
            server_names=list(told.server_names), prefix_ranges=[cidr_range(text) for text in told.ranges]
        )
        if told.detects_http and plan.route:
            yield matching([_http(plan)], replace(match, application_protocols=http))
        yield matching(tcp_filters(told.target, plan.reports), match)


def _http(plan: Outbound) -> listener_v3.Filter:
    prefix = names.http_stat_prefix(names.Direction.OUTBOUND, plan.address, plan.port)
    looks_up = plan.dynamic_forward_proxy
    return outbound_http(prefix, plan.route, plan.settings, plan.reports, dynamic_forward_proxy=looks_up)


def _otherwise(target: TcpTarget, reports: Reports) -> listener_v3.FilterChain:
    unknown = target.cluster in {names.PASSTHROUGH_CLUSTER, names.BLACK_HOLE_CLUSTER}
    return matching(tcp_filters(target, reports), name=names.PASSTHROUGH_FILTER_CHAIN if unknown else target.cluster)


def _refs(plan: Outbound) -> Iterator[tuple[str, str]]:
    if plan.route:
        yield type_url.ROUTE, plan.route
    yield from collector_refs(plan.reports)
    for target in (*(each.target for each in plan.told), *([plan.otherwise] if plan.otherwise else [])):
        yield from ((type_url.CLUSTER, cluster) for cluster in clusters_of(target))
