"""All RouteConfigurations of a view: one per HTTP port, and the forward proxy's.

Virtual hosts are encoded one by one, remembered for as long as the mesh value that they were made from, and joined:
editing one service encodes that service alone. Domains are unique within a RouteConfiguration, or Envoy would refuse
it: where two hosts share one (a virtual IP), the first by name has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from functools import lru_cache
from weakref import WeakKeyDictionary

from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.mesh.route import VirtualHost
from xds_server.mesh.view import Source, View
from xds_server.problem import Origin
from xds_server.translate import names, pack
from xds_server.translate.catch_all import Unknown, catch_all, forward_proxy_itself, own_addresses, unknown_hosts
from xds_server.translate.encode import encode
from xds_server.translate.route import Place
from xds_server.translate.virtual_host import (
    EncodedRoutes,
    applicable_routes,
    domains_of,
    domains_with_port,
    encoded_routes,
    encoded_virtual_host,
    http_ports,
)
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

MAX_DIRECT_RESPONSE = 1024 * 1024
"""Bytes of a direct response's body: Istio's limit. Envoy's own is 4 KiB."""
REMEMBERED = 128
"""Joined RouteConfigurations kept. Joining 1,000 hosts again takes about a millisecond."""


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """One encoded virtual host, ready to be joined. By identity."""

    body: bytes
    clusters: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()


class RouteTranslator:
    """View to RouteConfigurations, remembering. Not for two threads at once."""

    def __init__(self) -> None:
        self._encoded: WeakKeyDictionary[VirtualHost, _Encoded] = WeakKeyDictionary()
        self._joined = lru_cache(maxsize=REMEMBERED)(route_configuration)
        self._catch_all = lru_cache(_catch_all_part)
        self._forward_proxy_itself = lru_cache(_forward_proxy_itself_part)

    def route_configurations(self, view: View, wanted: Set[str], clusters: Set[str]) -> tuple[Resource, ...]:
        """The RouteConfigurations of `view` that its listeners name.

        Args:
            view: what the proxy may see.
            wanted: the names that its listeners refer to.
            clusters: names of all clusters that it gets; what a route would send to any other one answers 503.
        """
        hosts = [(virtual_host, self._remembered(virtual_host)) for virtual_host in view.virtual_hosts]
        by_port = _by_port(hosts)
        found = []
        for name in sorted(wanted):
            if name == names.HTTP_PROXY_ROUTE:
                parts = self._proxy_parts(hosts, view, clusters)
            else:
                parts = self._port_parts(by_port.get(int(name), []), int(name), view, clusters)
            found.append(self._joined(name, tuple(parts)))
        return tuple(found)

    def _remembered(self, virtual_host: VirtualHost) -> _Encoded:
        found = self._encoded.get(virtual_host)
        if found is None:
            found = self._encoded[virtual_host] = _Encoded(
                http_ports(virtual_host), domains_of(virtual_host), virtual_host.origins
            )
        return found

    def _port_parts(self, hosts: list[_Host], port: int, view: View, clusters: Set[str]) -> Iterator[Part]:
        """Domains without port: the connection has told it."""
        claimed: set[str] = set()
        for virtual_host, encoded in hosts:
            if domains := _claimed(encoded.domains, claimed):
                yield encoded.part(virtual_host, port, domains, view.source, clusters)
        yield self._catch_all(unknown_hosts(view))

    def _proxy_parts(self, hosts: list[_Host], view: View, clusters: Set[str]) -> Iterator[Part]:
        """Domains with their port, which only the request tells."""
        own = own_addresses(view)
        claimed = set(own)
        yield self._forward_proxy_itself(own)
        for virtual_host, encoded in hosts:
            for port in encoded.ports:
                if domains := _claimed(domains_with_port(encoded.domains, port), claimed):
                    yield encoded.part(virtual_host, port, domains, view.source, clusters)
        yield self._catch_all(unknown_hosts(view, forward_proxy=True))


def route_configuration(name: str, parts: tuple[Part, ...]) -> Resource:
    """The RouteConfiguration of that name, its virtual hosts in the order given."""
    rest = route_v3.RouteConfiguration(
        name=name,
        validate_clusters=False,
        max_direct_response_body_size_bytes=MAX_DIRECT_RESPONSE,
        # The forward proxy tells hosts apart by their port, which Envoy could not match if it were told to ignore it.
        ignore_port_in_host_matching=name != names.HTTP_PROXY_ROUTE,
    )
    body = pack.join(rest, pack.ROUTE_CONFIGURATION_VIRTUAL_HOSTS, (part.body for part in parts))
    clusters = {cluster for part in parts for cluster in part.clusters}
    origins = {origin for part in parts for origin in part.origins}
    return pack.resource_of_bytes(type_url.ROUTE, name, body, [(type_url.CLUSTER, c) for c in clusters], origins)


@dataclass(slots=True)
class _Encoded:
    """What was encoded so far of one mesh virtual host; never that host itself, which the memory holds weakly."""

    ports: tuple[int, ...]
    domains: tuple[str, ...]
    origins: tuple[Origin, ...]
    _routes: dict[tuple[tuple[int, ...], Place], EncodedRoutes] = field(default_factory=dict)
    _parts: dict[tuple[tuple[str, ...], EncodedRoutes], Part] = field(default_factory=dict)

    def part(
        self, virtual_host: VirtualHost, port: int, domains: tuple[str, ...], source: Source, clusters: Set[str]
    ) -> Part:
        """The host under `domains` on one port, for a caller that has `clusters`."""
        applicable = applicable_routes(virtual_host, port, source)
        routes = self._routes_at(virtual_host, applicable, Place(port))
        missing = [cluster for cluster in routes.clusters if cluster not in clusters]
        if missing:
            routes = self._routes_at(virtual_host, applicable, Place(port, frozenset(missing)))
        key = (domains, routes)
        found = self._parts.get(key)
        if found is None:
            body = encoded_virtual_host(names.virtual_host(virtual_host.host, port), domains, routes)
            found = self._parts[key] = Part(body, routes.clusters, self.origins)
        return found

    def _routes_at(self, virtual_host: VirtualHost, applicable: tuple[int, ...], place: Place) -> EncodedRoutes:
        key = (applicable, place)
        found = self._routes.get(key)
        if found is None:
            found = self._routes[key] = encoded_routes(virtual_host, applicable, place)
        return found


_Host = tuple[VirtualHost, _Encoded]


def _by_port(hosts: list[_Host]) -> dict[int, list[_Host]]:
    found: dict[int, list[_Host]] = {}
    for host in hosts:
        for port in host[1].ports:
            found.setdefault(port, []).append(host)
    return found


def _claimed(domains: tuple[str, ...], claimed: set[str]) -> tuple[str, ...]:
    """Those of `domains` that nobody had before; they are taken now."""
    free = domains if claimed.isdisjoint(domains) else tuple(domain for domain in domains if domain not in claimed)
    claimed.update(free)
    return free


def _catch_all_part(unknown: Unknown) -> Part:
    return Part(encode(catch_all(unknown)), (unknown.cluster,) if unknown.cluster else ())


def _forward_proxy_itself_part(domains: tuple[str, ...]) -> Part:
    return Part(encode(forward_proxy_itself(domains)))
