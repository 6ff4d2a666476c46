"""What the application sends out: one listener per port for HTTP, one per virtual IP and port for everything else.

`outbound_listeners` decides which there are and what each must tell apart, as small values; `outbound` builds one.
Nothing here depends on routes or endpoints, so editing those leaves every listener as it is.

Where several services want one address and port, HTTP goes by host name, TLS by server name, and all other bytes to the
service that is first by name. Istio decides such a clash by age, and then for one of them altogether.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from xds_server.mesh.route import Backend
from xds_server.mesh.service import Port, Protocol, Resolution, Service
from xds_server.mesh.view import View
from xds_server.mesh.workload import Interception
from xds_server.problem import Origin
from xds_server.translate import names, pack
from xds_server.translate.catch_all import Unknown, unknown_hosts
from xds_server.translate.endpoint import address
from xds_server.translate.filter_chain import (
    DETECTION_TIMEOUT,
    HTTP_DETECTED,
    PLAINTEXT,
    cidr_range,
    http_inspector,
    matching,
    tls_inspector,
)
from xds_server.translate.http_connection_manager import outbound_http
from xds_server.translate.tcp_proxy import TcpTarget, tcp_proxy, tcp_target
from xds_server.translate.virtual_host import http_ports
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

CAPTURED_PORT = 15001
"""Where iptables sends outbound TCP (Istio's port)."""
FIRST_UNPRIVILEGED_PORT = 1024
"""Lower ports cannot be bound without privileges; the forward proxy still serves what is behind them."""


@dataclass(frozen=True, slots=True)
class NetworkTarget:
    """Connections to some destination addresses, on a listener that gets those to all of them."""

    ranges: tuple[str, ...]
    target: TcpTarget
    detects_http: bool


@dataclass(frozen=True, slots=True)
class Outbound:
    """One outbound listener.

    Attributes:
        bound: the proxy binds it itself; otherwise `virtualOutbound` hands it connections.
        route: the RouteConfiguration for HTTP; "" when none is expected.
        by_server_name: (server name, target) of TLS connections.
        otherwise: where everything else goes; None closes it.
        origins: the documents of the service that is first on it.
    """

    address: str
    port: int
    bound: bool
    route: str = ""
    by_server_name: tuple[tuple[str, TcpTarget], ...] = ()
    by_network: tuple[NetworkTarget, ...] = ()
    otherwise: TcpTarget | None = None
    dynamic_forward_proxy: bool = False
    origins: tuple[Origin, ...] = ()


def outbound_listeners(view: View) -> tuple[Outbound, ...]:
    """The outbound listeners of `view` besides `virtualOutbound`, each address and port once."""
    slots = _Slots(view)
    first_by_port: dict[int, Backend | None] = {}
    for virtual_host in view.virtual_hosts:
        for number in http_ports(virtual_host):
            first_by_port.setdefault(number, virtual_host.backend)
    for number, backend in first_by_port.items():
        slots.add_http(number, backend)
    for each in view.backends:
        for port in each.service.stream_ports:
            slots.add_stream(each, port)
    if view.http_proxy_port:
        slots.add_forward_proxy()
    return slots.listeners()


def outbound(plan: Outbound) -> Resource:
    """The listener that `plan` asks for."""
    detects = _detects_http(plan)
    only_tcp = plan.otherwise is not None and not (plan.route or plan.by_server_name or plan.by_network)
    default = _otherwise(plan.otherwise) if plan.otherwise else None
    message = listener_v3.Listener(
        name=names.listener(plan.address, plan.port),
        address=address(plan.address, plan.port),
        bind_to_port=None if plan.bound else False,
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        listener_filters=[
            *([tls_inspector()] if plan.by_server_name else []),
            *([http_inspector()] if detects else []),
        ],
        listener_filters_timeout=DETECTION_TIMEOUT if detects or plan.by_server_name else None,
        continue_on_listener_filters_timeout=detects or bool(plan.by_server_name),
        filter_chains=[default] if only_tcp and default else list(_chains(plan)),
        default_filter_chain=None if only_tcp else default,
    )
    return pack.resource(type_url.LISTENER, message.name, message, _refs(plan), plan.origins)


def virtual_outbound(unknown: str) -> Resource:
    """`virtualOutbound`: hands connections to the listeners they were meant for, all others to cluster `unknown`."""
    to_itself = listener_v3.FilterChainMatch(destination_port=CAPTURED_PORT)
    black_hole = tcp_proxy(TcpTarget(names.BLACK_HOLE_CLUSTER))
    message = listener_v3.Listener(
        name=names.VIRTUAL_OUTBOUND,
        address=address(names.WILDCARD_ADDRESS, CAPTURED_PORT),
        use_original_dst=True,
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        filter_chains=[
            # Not captured, so there is no original destination but this port: passed on, it would come back for ever.
            matching([black_hole], to_itself, name=names.VIRTUAL_OUTBOUND_BLACK_HOLE_CHAIN),
            matching([tcp_proxy(TcpTarget(unknown))], name=names.VIRTUAL_OUTBOUND_CATCH_ALL_CHAIN),
        ],
    )
    refs = [(type_url.CLUSTER, name) for name in (names.BLACK_HOLE_CLUSTER, unknown)]
    return pack.resource(type_url.LISTENER, message.name, message, refs)


def unknown_cluster(view: View) -> str:
    """Where captured connections go that no service takes."""
    return unknown_hosts(view).cluster or names.BLACK_HOLE_CLUSTER


@dataclass(slots=True)
class _Slot:
    """What is asked so far of one address and port."""

    route: str = ""
    by_server_name: dict[str, TcpTarget] = field(default_factory=dict)
    by_network: list[NetworkTarget] = field(default_factory=list)
    ranges: set[str] = field(default_factory=set)
    tcp: TcpTarget | None = None
    dynamic_forward_proxy: bool = False
    origins: tuple[Origin, ...] = ()


class _Slots:
    """The listeners of one view, taking shape."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._captured = view.interception is Interception.REDIRECT
        self._shared = names.WILDCARD_ADDRESS if self._captured else view.bind_address
        self._looks_up = any(backend.service.resolution is Resolution.DYNAMIC_DNS for backend in view.backends)
        self._slots: dict[tuple[str, int], _Slot] = {}

    def add_http(self, port: int, backend: Backend | None) -> None:
        """Requests on `port` are routed by host, wherever they were addressed."""
        if self._has(port):
            self._slot(self._shared, port, backend).route = names.outbound_route(port)

    def add_stream(self, backend: Backend, port: Port) -> None:
        """Connections to one port of a service whose protocol is not HTTP, or not known."""
        if not self._has(port.number):
            return
        target = tcp_target(backend, port.number)
        detects = port.protocol is Protocol.AUTO
        addresses, ranges = self._virtual_ips(backend.service)
        for each in addresses:
            slot = self._slot(each, port.number, backend)
            slot.tcp = slot.tcp or target
            slot.route = slot.route or (names.outbound_route(port.number) if detects else "")
        if ranges:
            slot = self._slot(self._shared, port.number, backend)
            if free := tuple(each for each in ranges if each not in slot.ranges):
                slot.ranges.update(free)
                slot.by_network.append(NetworkTarget(free, target, detects))
        if not addresses and not ranges:
            slot = self._slot(self._shared, port.number, backend)
            if port.protocol.is_tls:
                slot.by_server_name.setdefault(backend.service.host.lower(), target)
            else:
                slot.tcp = slot.tcp or target

    def add_forward_proxy(self) -> None:
        """The port that `http_proxy=` names; it is asked for, so it comes before any service on it."""
        unknown = unknown_hosts(self._view, forward_proxy=True)
        looks_up = unknown is Unknown.ALLOW_ANY_DYNAMIC_DNS
        slot = _Slot(route=names.HTTP_PROXY_ROUTE, dynamic_forward_proxy=looks_up)
        self._slots[(self._shared, self._view.http_proxy_port)] = slot

    def listeners(self) -> tuple[Outbound, ...]:
        """All of them."""
        unknown = TcpTarget(unknown_cluster(self._view)) if self._captured else None
        return tuple(
            Outbound(
                address=where,
                port=port,
                bound=not self._captured,
                route=slot.route,
                by_server_name=tuple(sorted(slot.by_server_name.items(), key=lambda pair: pair[0])),
                by_network=tuple(slot.by_network),
                otherwise=slot.tcp or unknown,
                dynamic_forward_proxy=slot.dynamic_forward_proxy or (self._looks_up and bool(slot.route)),
                origins=slot.origins,
            )
            for (where, port), slot in self._slots.items()
        )

    def _has(self, port: int) -> bool:
        return port not in _RESERVED if self._captured else port >= FIRST_UNPRIVILEGED_PORT

    def _virtual_ips(self, service: Service) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(addresses, ranges) by which connections to `service` can be told, in their shortest spelling.

        Without capture only what can be bound counts: loopback, where 127.0.0.2 and so on keep services apart.
        """
        plain = [ipaddress.ip_address(each) for each in service.addresses if "/" not in each]
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


_RESERVED = frozenset({CAPTURED_PORT, 15006})
"""Ports of the two listeners that capture; a service on them cannot be told from the capture itself."""


def _detects_http(plan: Outbound) -> bool:
    """Whether HTTP must be told from other bytes; a listener that takes nothing else need not look."""
    return bool(plan.route) and bool(plan.otherwise or plan.by_server_name or plan.by_network)


def _chains(plan: Outbound) -> Iterator[listener_v3.FilterChain]:
    http = list(HTTP_DETECTED)
    if plan.route:
        detected = listener_v3.FilterChainMatch(transport_protocol=PLAINTEXT, application_protocols=http)
        yield matching([_http(plan)], detected if _detects_http(plan) else None)
    for server_name, target in plan.by_server_name:
        yield matching([tcp_proxy(target)], listener_v3.FilterChainMatch(server_names=[server_name]))
    for network in plan.by_network:
        ranges = [cidr_range(text) for text in network.ranges]
        if network.detects_http and plan.route:
            match = listener_v3.FilterChainMatch(prefix_ranges=ranges, application_protocols=http)
            yield matching([_http(plan)], match)
        yield matching([tcp_proxy(network.target)], listener_v3.FilterChainMatch(prefix_ranges=ranges))


def _http(plan: Outbound) -> listener_v3.Filter:
    prefix = names.http_stat_prefix(names.Direction.OUTBOUND, plan.address, plan.port)
    return outbound_http(prefix, plan.route, dynamic_forward_proxy=plan.dynamic_forward_proxy)


def _otherwise(target: TcpTarget) -> listener_v3.FilterChain:
    unknown = target.cluster in {names.PASSTHROUGH_CLUSTER, names.BLACK_HOLE_CLUSTER}
    return matching([tcp_proxy(target)], name=names.PASSTHROUGH_FILTER_CHAIN if unknown else target.cluster)


def _refs(plan: Outbound) -> Iterator[tuple[str, str]]:
    if plan.route:
        yield type_url.ROUTE, plan.route
    targets = [target for _, target in plan.by_server_name] + [network.target for network in plan.by_network]
    for target in (*targets, *([plan.otherwise] if plan.otherwise else [])):
        yield type_url.CLUSTER, target.cluster
