"""Where requests that come in by a router go: a RouteConfiguration for each plain port and each HTTPS server.

Virtual hosts are the hosts that both a server and a VirtualService have. VirtualServices for one host are merged in
order of precedence, routes that take everything last (Istio's rule).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.mesh.gateway import GatewayRoutes, Server, narrower
from xds_server.mesh.route import DirectResponse, Route
from xds_server.mesh.view import Source, View
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.translate import names
from xds_server.translate.encode import encode
from xds_server.translate.gateway_listener import open_servers
from xds_server.translate.redirect import direct_response_action
from xds_server.translate.route import Place
from xds_server.translate.route_configuration import encoded_part, route_configuration
from xds_server.translate.virtual_host import encoded_routes, holds
from xds_server.xds.resource import Part, Resource

REMEMBERED = 4096
"""Virtual hosts kept."""
NOT_FOUND = 404

_Tls = route_v3.VirtualHostTlsRequirementType
_Sources = tuple[tuple[GatewayRoutes, frozenset[str]], ...]
"""VirtualServices in order of precedence, each with the gateways by which requests come in here."""


@dataclass(frozen=True, slots=True)
class _Host:
    """A domain with what speaks for it.

    Attributes:
        port: of the first Gateway server that has it: where rules are told which port is asked.
    """

    domain: str
    port: int
    sources: _Sources
    redirects: bool = False


class GatewayRouteTranslator:
    """A router's view to RouteConfigurations, remembering. Not for two threads at once."""

    def __init__(self) -> None:
        self._virtual_host = lru_cache(maxsize=REMEMBERED)(virtual_host)
        self._part = lru_cache(maxsize=REMEMBERED)(host_part)

    def route_configurations(self, view: View, clusters: frozenset[str]) -> Iterator[Resource]:
        """All of a router's view; what a route would send to a cluster that is not among `clusters` answers 503."""
        routes = dict(view.router.routes) if view.router else {}
        for name, servers in _by_route(view).items():
            parts = [self._part_of(host, view, clusters) for host in _hosts(servers, routes)]
            found = tuple(part for part in parts if part is not None)
            yield route_configuration(name, found or (_black_hole(servers[0].port.number),))

    def _part_of(self, host: _Host, view: View, clusters: frozenset[str]) -> Part | None:
        made = self._virtual_host(host.domain, host.sources, host.port, view.source)
        if not made.routes and not host.redirects:
            return None
        place = Place(host.port, headers=view.settings.headers)
        part = self._part(made, place, host.redirects)
        if clusters.issuperset(part.clusters):
            return part
        missing = frozenset(part.clusters).difference(clusters)
        return self._part(made, replace(place, missing=missing), host.redirects)


def _by_route(view: View) -> dict[str, tuple[Server, ...]]:
    """The name of each RouteConfiguration, with the servers whose requests it routes.

    A plain one is called by where the router listens; one for HTTPS by its server, wherever that is (Istio's rule).
    """
    found: dict[str, tuple[Server, ...]] = {}
    for (bind, number), servers in open_servers(view):
        plain = tuple(server for server in servers if server.tls is None and server.reads_http)
        if plain:
            found[names.gateway_http_route(number, bind)] = plain
        for server in servers:
            if server.tls is not None and server.reads_http:
                name = names.gateway_https_route(server.port.number, server.port.name, server.gateway, bind)
                found[name] = (server,)
    return found


def _hosts(servers: Iterable[Server], routes: dict[str, tuple[GatewayRoutes, ...]]) -> list[_Host]:
    """The domains of these servers, each once, sorted."""
    sources: dict[str, dict[GatewayRoutes, set[str]]] = {}
    redirects: set[str] = set()
    ports: dict[str, int] = {}
    for server in servers:
        for found in routes.get(server.gateway, ()):
            for domain in _shared(server, found):
                sources.setdefault(domain, {}).setdefault(found, set()).add(server.gateway)
                redirects |= {domain} if server.https_redirect else set()
                ports.setdefault(domain, server.port.number)
        if server.https_redirect:
            redirects.update(host for _, host in server.hosts)
            ports |= {host: server.port.number for _, host in server.hosts if host not in ports}
    by_domain = {domain: tuple((f, frozenset(by)) for f, by in each.items()) for domain, each in sources.items()}
    return [_Host(domain, ports[domain], by_domain.get(domain, ()), domain in redirects) for domain in sorted(ports)]


def _shared(server: Server, found: GatewayRoutes) -> Iterator[str]:
    """The hosts that a server lets in and a VirtualService speaks for: of two patterns the narrower."""
    for host in found.hosts:
        for allowed in server.hosts_for(found.namespace):
            if (shared := narrower(host, allowed)) is not None:
                yield shared


def virtual_host(domain: str, sources: _Sources, port: int, source: Source) -> VirtualHost:
    """The routes for one domain that hold for requests on `port` of a router that is `source`.

    A route behind one of its own VirtualService that takes everything stays behind it, and so never matches: only
    whole VirtualServices make way for each other (Istio's rule).
    """
    routes = [route for found, gateways in sources for route in _reachable(found, gateways, port, source)]
    return VirtualHost(domain, (domain,), None, tuple(sorted(routes, key=lambda route: route.match.takes_everything)))


def _reachable(found: GatewayRoutes, gateways: frozenset[str], port: int, source: Source) -> Iterator[Route]:
    """The routes of one VirtualService that hold here, to the first that takes everything."""
    for route in found.routes:
        if not gateways.isdisjoint(route.match.gateways) and holds(route.match, port, source):
            yield route
            if route.match.takes_everything:
                return


def host_part(found: VirtualHost, place: Place, redirects: bool) -> Part:
    """One encoded virtual host; with `redirects`, plain requests are sent to HTTPS before any route is looked at."""
    head = route_v3.VirtualHost(
        name=names.virtual_host(found.host, place.port),
        domains=list(found.domains),
        require_tls=_Tls.ALL if redirects else _Tls.NONE,
    )
    if not found.routes:
        return encoded_part(head.name, encode(head))
    routes = encoded_routes(found, range(len(found.routes)), place)
    return encoded_part(head.name, encode(head) + routes.body, routes.clusters, found.origins)


def _black_hole(port: int) -> Part:
    """For a port on which no VirtualService routes anything: every host is unknown."""
    route = route_v3.Route(
        match=route_v3.RouteMatch(prefix="/"), direct_response=direct_response_action(DirectResponse(NOT_FOUND))
    )
    host = route_v3.VirtualHost(name=names.gateway_black_hole(port), domains=["*"], routes=[route])
    return encoded_part(host.name, encode(host))
