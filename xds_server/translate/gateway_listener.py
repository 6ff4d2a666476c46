"""What a router listens on: one listener for each address and port that Gateways open.

`gateway_listeners` decides which there are and what each must tell apart, as small values; `gateway_listener` builds
one. Source: Istio, pilot/pkg/networking/core/gateway.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from xds_server.mesh.gateway import GatewayRoutes, Server, ServerTls, ServerTlsMode, narrower, open_ports
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS, ProxySettings
from xds_server.mesh.route import Backend, ConnectionRoute
from xds_server.mesh.service import Resolution
from xds_server.mesh.telemetry import NO_REPORTS, Reports
from xds_server.mesh.view import View
from xds_server.problem import Origin
from xds_server.translate import names, pack
from xds_server.translate.access_log import listener_logs
from xds_server.translate.collector import collector_refs
from xds_server.translate.endpoint import address, port_subsets
from xds_server.translate.file_secret import written_in
from xds_server.translate.filter_chain import DETECTION_TIMEOUT, PLAINTEXT, proxy_protocol, tls_inspector
from xds_server.translate.http_connection_manager import gateway_http
from xds_server.translate.mesh_tls import MESH_ALPN
from xds_server.translate.server_tls import ServerSecurity, server_security
from xds_server.translate.tcp_proxy import TcpTarget, clusters_of, routed_target, tcp_filters
from xds_server.translate.virtual_host import holds
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

HANDSHAKE_TIMEOUT = timedelta(seconds=15)
"""A client that begins TLS has this long to end it (Istio's)."""
TLS = "tls"
"""transport_protocol of a connection that the TLS inspector found to be TLS."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One way into a port.

    Attributes:
        server_names: whom a TLS client asks for; () for anybody.
        protocols: what it says is inside (ALPN); () for anything.
        tls: the router ends it; None leaves the bytes as they are.
        passed_on: TLS that the router does not end.
        route: the RouteConfiguration of requests; "" when `target` takes whole connections.
        stat_prefix: what requests are counted under.
        origin: of the server whose TLS it is.
    """

    server_names: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    tls: ServerTls | None = None
    passed_on: bool = False
    route: str = ""
    stat_prefix: str = ""
    target: TcpTarget | None = None
    origin: Origin | None = None

    @property
    def is_tls(self) -> bool:
        """Whether only TLS comes in this way."""
        return self.tls is not None or self.passed_on


@dataclass(frozen=True, slots=True)
class GatewayListener:
    """One listener of a router."""

    bind: str
    port: int
    chains: tuple[Chain, ...]
    trust_domain: TrustDomain | None = None
    dynamic_forward_proxy: bool = False
    origins: tuple[Origin, ...] = ()
    settings: ProxySettings = ISTIO_SETTINGS
    reports: Reports = NO_REPORTS


def gateway_listeners(view: View) -> tuple[GatewayListener, ...]:
    """The listeners of a router's view; none for a port on which nothing could come in."""
    if view.router is None:
        return ()
    looks_up = any(backend.service.resolution is Resolution.DYNAMIC_DNS for backend in view.backends)
    routes = dict(view.router.routes)
    opened = ((where, servers, tuple(_chains(where, servers, routes, view))) for where, servers in open_servers(view))
    return tuple(
        GatewayListener(
            bind=bind,
            port=number,
            chains=chains,
            trust_domain=view.trust_domain,
            dynamic_forward_proxy=looks_up,
            origins=tuple(dict.fromkeys(server.origin for server in servers if server.origin)),
            settings=view.settings,
            reports=view.observed.outbound,
        )
        for (bind, number), servers, chains in opened
        if chains
    )


def open_servers(view: View) -> tuple[tuple[tuple[str, int], tuple[Server, ...]], ...]:
    """(bind, port where the router listens), each with the servers that it can serve there.

    One whose certificate is not there stays closed, and so does one for mesh TLS on a router without an identity.
    """
    if view.router is None:
        return ()
    there = view.router.credentials
    opened, _ = open_ports(view.router.gateways, dict(view.router.ports))
    return tuple(
        (where, tuple(s for s in servers if _can_speak(s.tls, there, view))) for where, servers in opened.items()
    )


def _can_speak(tls: ServerTls | None, there: frozenset[str], view: View) -> bool:
    if tls is None:
        return True
    if tls.mode is ServerTlsMode.ISTIO_MUTUAL:
        return view.trust_domain is not None
    return there.issuperset(tls.needed)


def _chains(
    where: tuple[str, int], servers: tuple[Server, ...], routes: Mapping[str, tuple[GatewayRoutes, ...]], view: View
) -> Iterator[Chain]:
    plain = [server for server in servers if server.tls is None]
    # Envoy refuses a listener two of whose chains ask for the same: a name that some server ends TLS for is its own.
    ended = (server for server in servers if server.tls is not None and server.tls.terminates)
    taken = {name for server in ended for name in server.server_names or ("",)}
    for server in servers:
        bound = routes.get(server.gateway, ())
        if server.tls is None:
            continue
        if server.reads_http:
            name = names.gateway_https_route(server.port.number, server.port.name, server.gateway, server.bind)
            yield Chain(
                _comparable(server.server_names),
                tls=server.tls,
                route=name,
                stat_prefix=_stat_prefix(server),
                origin=server.origin,
            )
        elif server.passes_by_name:
            yield from _by_name(server, view, taken)
        elif server.tls.terminates:
            if rule := next(_rules(server, bound, view, tls=False), None):
                target = routed_target(rule, server.port.number, set(view.backends), view.trust_domain)
                yield Chain(_comparable(server.server_names), tls=server.tls, target=target, origin=server.origin)
        else:
            yield from _passed_on(server, bound, view, taken)
    if any(server.reads_http for server in plain):
        bind, number = where
        name = names.gateway_http_route(number, bind)
        yield Chain(route=name, stat_prefix=_stat_prefix(plain[0]))
    for server in plain:
        rule = (
            None if server.reads_http else next(_rules(server, routes.get(server.gateway, ()), view, tls=False), None)
        )
        if rule is not None:
            yield Chain(target=routed_target(rule, server.port.number, set(view.backends), view.trust_domain))


def _passed_on(server: Server, bound: Iterable[GatewayRoutes], view: View, taken: set[str]) -> Iterator[Chain]:
    """TLS that the router does not end, by the names that tls rules ask for; a name goes where the first sends it."""
    present: set[Backend] = set(view.backends)
    for rule in _rules(server, bound, view, tls=True):
        wanted = rule.match.server_names or server.server_names or ("",)
        free = tuple(name for name in wanted if name not in taken)
        taken.update(free)
        if free:
            target = routed_target(rule, server.port.number, present, view.trust_domain)
            yield Chain(_comparable(name for name in free if name), passed_on=True, target=target)


def _by_name(server: Server, view: View, taken: set[str]) -> Iterator[Chain]:
    """A chain for each port and subset of the services that the server lets in: mesh TLS that asks for its name."""
    for backend in view.router.by_name if view.router else ():
        if server.lets_in(backend.service):
            for port, subset in port_subsets(backend):
                name = names.outbound_sni(port.number, subset, backend.service.host)
                if name not in taken:
                    taken.add(name)
                    yield Chain((name,), MESH_ALPN, passed_on=True, target=TcpTarget(name))


def _rules(server: Server, bound: Iterable[GatewayRoutes], view: View, *, tls: bool) -> Iterator[ConnectionRoute]:
    """Rules for whole connections, of VirtualServices that share a host with the server, in order."""
    for found in bound:
        allowed = list(server.hosts_for(found.namespace))
        if any(narrower(host, each) for host in found.hosts for each in allowed):
            yield from (
                rule
                for rule in found.connections
                if rule.tls == tls
                and server.gateway in rule.match.gateways
                and holds(rule.match, server.port.number, view.source)
            )


def _comparable(server_names: Iterable[str]) -> tuple[str, ...]:
    """Names as Envoy can compare them: it knows wildcards for whole labels only."""
    return tuple(name for name in server_names if not name.startswith("*") or name.startswith("*."))


def _stat_prefix(server: Server) -> str:
    if server.name:
        return server.name
    return names.http_stat_prefix(names.Direction.OUTBOUND, server.bind, server.port.number)


def gateway_listener(plan: GatewayListener) -> Resource:
    """The listener that `plan` asks for."""
    inspects, behind = any(chain.is_tls for chain in plan.chains), plan.settings.topology.proxy_protocol
    mixed = inspects and not all(chain.is_tls for chain in plan.chains)
    refs: list[tuple[str, str]] = list(collector_refs(plan.reports))
    chains = []
    for chain in plan.chains:
        security = _security(chain, chain.tls, plan) if chain.tls else None
        chains.append(_filter_chain(chain, plan, security, mixed=mixed))
        refs += _refs(chain, security)
    message = listener_v3.Listener(
        name=names.listener(plan.bind, plan.port),
        address=address(plan.bind or names.WILDCARD_ADDRESS, plan.port),
        traffic_direction=core_v3.TrafficDirection.OUTBOUND,
        listener_filters=[*([proxy_protocol()] if behind else []), *([tls_inspector()] if inspects else [])],
        listener_filters_timeout=DETECTION_TIMEOUT if inspects and not behind else None,
        # A connection that keeps its PROXY header back must not come in without one.
        continue_on_listener_filters_timeout=inspects and not behind,
        filter_chains=chains,
        per_connection_buffer_limit_bytes=plan.settings.router_limits.buffer,
        access_log=listener_logs(plan.reports),
    )
    return pack.resource(type_url.LISTENER, message.name, message, refs, (*plan.origins, *plan.reports.origins))


def file_secrets(plan: GatewayListener) -> tuple[Resource, ...]:
    """Certificates in files of the router, as the secrets by which its listeners name them."""
    securities = ((chain.origin, _security(chain, chain.tls, plan)) for chain in plan.chains if chain.tls)
    return tuple(
        secret
        for origin, security in securities
        if security
        for secret in written_in(security.secrets, [origin] if origin else [])
    )


def _security(chain: Chain, tls: ServerTls, plan: GatewayListener) -> ServerSecurity | None:
    return server_security(tls, plan.trust_domain, http=bool(chain.route), settings=plan.settings)


def _filter_chain(
    chain: Chain, plan: GatewayListener, security: ServerSecurity | None, *, mixed: bool
) -> listener_v3.FilterChain:
    match = listener_v3.FilterChainMatch(
        server_names=list(chain.server_names),
        application_protocols=list(chain.protocols),
        transport_protocol=(TLS if chain.is_tls else PLAINTEXT) if mixed else "",
    )
    looks_up = plan.dynamic_forward_proxy
    http = gateway_http(chain.stat_prefix, chain.route, plan.settings, plan.reports, dynamic_forward_proxy=looks_up)
    return listener_v3.FilterChain(
        filter_chain_match=match if chain.server_names or mixed else None,
        filters=tcp_filters(chain.target, plan.reports) if chain.target else [http],
        transport_socket=security.socket if security else None,
        transport_socket_connect_timeout=HANDSHAKE_TIMEOUT if security else None,
    )


def _refs(chain: Chain, security: ServerSecurity | None) -> Iterator[tuple[str, str]]:
    if chain.route:
        yield type_url.ROUTE, chain.route
    if chain.target:
        yield from ((type_url.CLUSTER, cluster) for cluster in clusters_of(chain.target))
    if security:
        yield from security.refs
