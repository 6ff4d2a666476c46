"""One host name on one port: which of its routes a proxy gets, and the encoded VirtualHost.

Encoding comes in two parts, because the same routes stand under several lists of domains: a message's bytes are the
bytes of its fields one after the other (protobuf.dev, "Encoding"), and what comes before the routes is cheap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.mesh.route import ConnectionMatch, Destination, Match, Route, WeightedDestination
from xds_server.mesh.service import labels_match
from xds_server.mesh.view import Source
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.translate.encode import encode, length_delimited
from xds_server.translate.route import Place, clusters_of, envoy_route

MESH_GATEWAY = "mesh"
"""The name under which a VirtualService means all sidecars."""
_NAME, _DOMAINS = 1, 2
"""Field numbers of envoy.config.route.v3.VirtualHost."""
HTTP_PORT = 80
"""HTTP's own. A host that no service has is served there alone (Istio's rule): its VirtualService is all we know."""


@dataclass(frozen=True, eq=False, slots=True)
class EncodedRoutes:
    """The routes of a virtual host, encoded, and the clusters that they name, each once, sorted. By identity."""

    body: bytes
    clusters: tuple[str, ...]


def http_ports(virtual_host: VirtualHost) -> tuple[int, ...]:
    """Ports on which Envoy reads requests for `virtual_host` as HTTP, declared or detected."""
    backend = virtual_host.backend
    return (HTTP_PORT,) if backend is None else backend.service.http_ports


def applicable_routes(virtual_host: VirtualHost, port: int, source: Source) -> tuple[int, ...]:
    """Which routes, by index, hold for requests on `port` from `source`: the conditions that Envoy never sees."""
    return tuple(i for i, route in enumerate(virtual_host.routes) if applies(route.match, port, source))


def applies_everywhere(virtual_host: VirtualHost) -> bool:
    """Whether all of its routes hold on every port and for every caller."""
    return all(
        MESH_GATEWAY in match.gateways and match.port is None and not match.source_labels and not match.source_namespace
        for match in (route.match for route in virtual_host.routes)
    )


def encoded_routes(virtual_host: VirtualHost, applicable: Iterable[int], place: Place) -> EncodedRoutes:
    """Everything of the VirtualHost that follows its domains."""
    chosen = [virtual_host.routes[i] for i in applicable] if virtual_host.routes else _default_routes(virtual_host)
    routes = [envoy_route(route, place) for route in chosen]
    clusters = {cluster for route in routes for cluster in clusters_of(route)}
    counted = place.headers.attempt_count
    body = encode(route_v3.VirtualHost(routes=routes, include_request_attempt_count=counted))
    return EncodedRoutes(body, tuple(sorted(clusters)))


def encoded_virtual_host(name: str, domains: Iterable[str], routes: EncodedRoutes) -> bytes:
    """The whole VirtualHost."""
    named = length_delimited(_NAME, name.encode())
    return b"".join((named, *[length_delimited(_DOMAINS, domain.encode()) for domain in domains], routes.body))


def domains_of(virtual_host: VirtualHost) -> tuple[str, ...]:
    """Host names and virtual IPs that mean it, without port; IPv6 in brackets, as a Host header has it.

    In lower case, since Envoy compares so and refuses a RouteConfiguration in which two are equal.
    """
    addresses = virtual_host.backend.service.addresses if virtual_host.backend else ()
    plain = (f"[{address}]" if ":" in address else address for address in addresses if "/" not in address)
    return tuple(dict.fromkeys(domain.lower() for domain in (*virtual_host.domains, *plain)))


def domains_with_port(domains: Iterable[str], port: int) -> tuple[str, ...]:
    """The same as a forward proxy is asked for them: with the port, and for HTTP's own port also without."""
    if port != HTTP_PORT:
        return tuple(f"{domain}:{port}" for domain in domains)
    return tuple(text for domain in domains for text in (domain, f"{domain}:{port}"))


def applies(match: Match | ConnectionMatch, port: int, source: Source) -> bool:
    """Whether a rule is for sidecars, for this port, and for callers from `source`."""
    return MESH_GATEWAY in match.gateways and holds(match, port, source)


def holds(match: Match | ConnectionMatch, port: int, source: Source) -> bool:
    """Whether a rule is for this port, and for callers from `source`."""
    return (
        match.port in {None, port}
        and labels_match(match.source_labels, source.labels)
        and match.source_namespace in {"", source.namespace}
    )


def _default_routes(virtual_host: VirtualHost) -> tuple[Route, ...]:
    """What Istio generates for a service that no VirtualService speaks of: everything to it, with its defaults."""
    destination = Destination(virtual_host.host, port=None, subset="", backend=virtual_host.backend)
    return (Route(Match(), name="default", destinations=(WeightedDestination(destination),)),)
