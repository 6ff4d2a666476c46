"""All RouteConfigurations of a view: one per HTTP port, and the forward proxy's.

Virtual hosts are encoded one by one, remembered for as long as the mesh value that they were made from, and joined:
editing one service encodes that service alone. Domains are unique within a RouteConfiguration, or Envoy would refuse
it: where two hosts share one (a virtual IP), the first by name has it.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, compress, count

from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.mesh.egress import Egress
from xds_server.mesh.proxy_settings import ISTIO_HEADERS, ProxyHeaders
from xds_server.mesh.view import Source, View
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.problem import Origin
from xds_server.translate import names, pack
from xds_server.translate.catch_all import (
    Unknown,
    catch_all,
    forward_proxy_itself,
    own_addresses,
    unknown_cluster,
    unknown_hosts,
)
from xds_server.translate.encode import encode, length_delimited
from xds_server.translate.memory import Memory
from xds_server.translate.route import Place
from xds_server.translate.virtual_host import (
    EncodedRoutes,
    applicable_routes,
    applies_everywhere,
    domains_of,
    domains_with_port,
    encoded_routes,
    encoded_virtual_host,
    http_ports,
)
from xds_server.xds import type_url
from xds_server.xds.resource import Part, Resource

MAX_DIRECT_RESPONSE = 1024 * 1024
"""Bytes of a direct response's body: Istio's limit. Envoy's own is 4 KiB."""
REMEMBERED = 4
"""Joined RouteConfigurations kept of each name. Joining 1,000 hosts again takes about a millisecond; keeping what will
hardly be asked for again costs more, in memory that is cold."""


_SOCKET = "unix://"
"""How the name of the RouteConfiguration begins that a unix socket has: its path."""


class RouteTranslator:
    """View to RouteConfigurations, remembering. Not for two threads at once."""

    def __init__(self) -> None:
        self._encoded: Memory[VirtualHost, _Encoded] = Memory(_Encoded)
        self._joined: defaultdict[str, _Join] = defaultdict(lambda: lru_cache(maxsize=REMEMBERED)(route_configuration))
        self._placed: defaultdict[str, _Placed] = defaultdict(_Placed)
        self._catch_all = lru_cache(_catch_all)
        self._forward_proxy_itself = lru_cache(_forward_proxy_itself)

    def route_configurations(self, view: View, wanted: Iterable[str], clusters: frozenset[str]) -> tuple[Resource, ...]:
        """The RouteConfigurations of `view` that its listeners name.

        Args:
            view: what the proxy may see.
            wanted: the names that its listeners refer to.
            clusters: names of all clusters that it gets; what a route would send to any other one answers 503.
        """
        hosts = tuple(zip(view.virtual_hosts, self._encoded.each(view.virtual_hosts), strict=True))
        return tuple(self._joined[name](name, self._parts(name, hosts, view, clusters)) for name in sorted(wanted))

    def _parts(self, name: str, hosts: Sequence[_Host], view: View, clusters: frozenset[str]) -> tuple[Part, ...]:
        """Domains without port where the connection has told it; the forward proxy's with it."""
        if name == names.HTTP_PROXY_ROUTE:
            own = own_addresses(view)
            found = self._placed[name].parts(
                hosts, _Asked(None, view.egress, view.source, clusters, view.settings.headers, own)
            )
            return self._forward_proxy_itself(own), *found, self._unknown(view, unknown_hosts(view, forward_proxy=True))
        if name.startswith(_SOCKET):
            found = self._placed[name].parts(
                hosts, _Asked(None, _only(view, name), view.source, clusters, view.settings.headers)
            )
            return *found, self._unknown(view, Unknown.BLOCK_ALL)
        port = int(name)
        found = self._placed[name].parts(hosts, _Asked(port, view.egress, view.source, clusters, view.settings.headers))
        return *found, self._unknown(view, unknown_hosts(view, port=port))

    def _unknown(self, view: View, unknown: Unknown) -> Part:
        return self._catch_all(unknown, unknown_cluster(view, unknown), view.settings.headers)


def _only(view: View, path: str) -> Egress:
    """What is to be seen by the socket there."""
    hosts = frozenset(view.egress.by_socket(path))
    return Egress(only_on=tuple((each.host, ()) for each in view.virtual_hosts if each.host not in hosts))


def route_configuration(name: str, parts: tuple[Part, ...]) -> Resource:
    """The RouteConfiguration of that name, its virtual hosts in the order given."""
    rest = route_v3.RouteConfiguration(
        name=name,
        validate_clusters=False,
        max_direct_response_body_size_bytes=MAX_DIRECT_RESPONSE,
        # Where no port was called hosts are told apart by theirs, which Envoy could not match if it were to ignore it.
        ignore_port_in_host_matching=name != names.HTTP_PROXY_ROUTE and not name.startswith(_SOCKET),
    )
    return _joined(name, encode(rest), parts)


def _joined(name: str, head: bytes, parts: tuple[Part, ...]) -> Resource:
    """An edit changes one part of a thousand, so nothing is sorted or hashed here that a part has ready."""
    # Fields may stand in any order on the wire (protobuf.dev, "Encoding").
    body = b"".join((head, *[part.field for part in parts]))
    # Two lists of parts have the same versions exactly when they have the same bytes.
    version = pack.content_version(head + "".join([part.version for part in parts]).encode())
    refs = _refs(frozenset(chain.from_iterable([part.clusters for part in parts])))
    origins = tuple(chain.from_iterable([part.origins for part in parts]))
    return Resource(type_url.ROUTE, name, version, body, refs, origins, parts)


@lru_cache(maxsize=16)
def _refs(clusters: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Most edits leave the clusters as they are that routes send to."""
    return tuple((type_url.CLUSTER, cluster) for cluster in sorted(clusters))


class _Encoded:
    """What was encoded so far of one mesh virtual host; never that host itself, which the memory holds weakly."""

    def __init__(self, virtual_host: VirtualHost) -> None:
        self.stand: _Stand = (virtual_host.host, http_ports(virtual_host), domains_of(virtual_host))
        self._origins = virtual_host.origins
        backend = virtual_host.backend
        self._service_origins = (*backend.traffic.origins, *backend.service.origins) if backend else ()
        self._all_routes = tuple(range(len(virtual_host.routes))) if applies_everywhere(virtual_host) else None
        self._parts: dict[_PartKey, Part] = {}
        self._routes: dict[tuple[tuple[int, ...], Place], EncodedRoutes] = {}

    def part(self, virtual_host: VirtualHost, domains: tuple[str, ...], source: Source, place: Place) -> Part:
        """The host under `domains` at `place`, for a caller from `source`."""
        applicable = self._all_routes
        if applicable is None:
            applicable = applicable_routes(virtual_host, place.port, source)
        key = (domains, applicable, place)
        found = self._parts.get(key)
        if found is None:
            routes = self._routes_at(virtual_host, applicable, place)
            name = names.virtual_host(virtual_host.host, place.port)
            body = encoded_virtual_host(name, domains, routes)
            found = self._parts[key] = encoded_part(name, body, routes.clusters, self._origins, self._service_origins)
        return found

    def _routes_at(self, virtual_host: VirtualHost, applicable: tuple[int, ...], place: Place) -> EncodedRoutes:
        """The same routes stand under several lists of domains."""
        key = (applicable, place)
        found = self._routes.get(key)
        if found is None:
            found = self._routes[key] = encoded_routes(virtual_host, applicable, place)
        return found


_Join = Callable[[str, tuple[Part, ...]], Resource]
_Stand = tuple[str, tuple[int, ...], tuple[str, ...]]
"""Host, ports and domains: all that decides where a virtual host stands, and what it leaves to others."""
_PartKey = tuple[tuple[str, ...], tuple[int, ...], Place]
_Host = tuple[VirtualHost, _Encoded]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked of the virtual hosts of one RouteConfiguration.

    Attributes:
        port: where they stand; None is on all of their ports, which their domains then name.
        clusters: those that there are.
        headers: those of every proxy.
        taken: domains that somebody else has.
    """

    port: int | None
    egress: Egress
    source: Source
    clusters: frozenset[str]
    headers: ProxyHeaders = ISTIO_HEADERS
    taken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the host at `index` stands in a RouteConfiguration: the domains that were left to it on `port`."""

    index: int
    port: int
    domains: tuple[str, ...]


class _Placed:
    """The virtual hosts of one RouteConfiguration as they were, so that an edit costs what it changes of them."""

    def __init__(self) -> None:
        self._asked: _Asked | None = None
        self._hosts: Sequence[_Host] = ()
        self._stands: list[_Stand] = []
        self._spots: list[_Spot] = []
        self._parts: list[Part] = []

    def parts(self, hosts: Sequence[_Host], asked: _Asked) -> list[Part]:
        """What `hosts` are under what is asked, those that stand nowhere left out; read only."""
        stands = [encoded.stand for _, encoded in hosts]
        if asked == self._asked and stands == self._stands:
            self._parts = self._exchanged(hosts, asked)
        else:
            self._spots = list(_spots(stands, asked))
            self._parts = [_part(hosts[spot.index], spot, asked) for spot in self._spots]
        self._asked, self._hosts, self._stands = asked, hosts, stands
        return self._parts

    def _exchanged(self, hosts: Sequence[_Host], asked: _Asked) -> list[Part]:
        """The parts as they were, but for hosts that are others now and stand where the former ones stood."""
        before, now = ([encoded for _, encoded in each] for each in (self._hosts, hosts))
        changed = frozenset(compress(count(), map(operator.is_not, before, now)))
        if not changed:
            return self._parts
        return [
            _part(hosts[spot.index], spot, asked) if spot.index in changed else part
            for spot, part in zip(self._spots, self._parts, strict=True)
        ]


def _spots(stands: Sequence[_Stand], asked: _Asked) -> Iterator[_Spot]:
    """Each host under those of its domains that no host before it and nobody else has."""
    claimed = set(asked.taken)
    for index, port in _in_order(stands, asked):
        _, _, domains = stands[index]
        if asked.port is None:
            domains = domains_with_port(domains, port)
        free = domains if claimed.isdisjoint(domains) else tuple(each for each in domains if each not in claimed)
        if free:
            claimed.update(free)
            yield _Spot(index, port, free)


def _in_order(stands: Sequence[_Stand], asked: _Asked) -> Iterable[tuple[int, int]]:
    """(index, port) of the hosts that are to be seen, by port and then as they come."""
    wanted = (
        (index, port)
        for index, (host, ports, _) in enumerate(stands)
        for port in ports
        if asked.port in {None, port} and asked.egress.shows(host, port)
    )
    return sorted(wanted, key=operator.itemgetter(1))


def _part(host: _Host, spot: _Spot, asked: _Asked) -> Part:
    virtual_host, encoded = host
    place = Place(spot.port, headers=asked.headers)
    part = encoded.part(virtual_host, spot.domains, asked.source, place)
    if asked.clusters.issuperset(part.clusters):
        return part
    missing = frozenset(part.clusters).difference(asked.clusters)
    return encoded.part(virtual_host, spot.domains, asked.source, replace(place, missing=missing))


def _catch_all(unknown: Unknown, cluster: str | None, headers: ProxyHeaders) -> Part:
    return _part_of(catch_all(unknown, cluster, headers), (cluster,) if cluster else ())


def _forward_proxy_itself(domains: tuple[str, ...]) -> Part:
    return _part_of(forward_proxy_itself(domains))


def _part_of(message: route_v3.VirtualHost, clusters: tuple[str, ...] = ()) -> Part:
    return encoded_part(message.name, encode(message), clusters)


def encoded_part(
    name: str,
    body: bytes,
    clusters: tuple[str, ...] = (),
    origins: tuple[Origin, ...] = (),
    service_origins: tuple[Origin, ...] = (),
) -> Part:
    """An encoded virtual host, as it stands in a RouteConfiguration."""
    field = length_delimited(pack.ROUTE_CONFIGURATION_VIRTUAL_HOSTS, body)
    return Part(name, pack.content_version(field), field, clusters, origins, service_origins)
