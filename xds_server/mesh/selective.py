"""DestinationRules for some workloads only: what those call is called by other rules than by their neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xds_server.mesh.gateway import GatewayRoutes
from xds_server.mesh.route import Backend, ConnectionRoute, Destination, Route, WeightedDestination
from xds_server.mesh.service import Labels
from xds_server.mesh.virtual_host import VirtualHost


@dataclass(frozen=True, eq=False)
class SelectiveRule:
    """One DestinationRule with a workloadSelector. Compared by identity: the same while nothing it speaks of changes.

    Attributes:
        selector: labels of the workloads of `namespace` that it holds for; () is all.
        backends: by host, the services that it is for, with its rule and no other.
    """

    namespace: str
    selector: Labels
    backends: Mapping[str, Backend]

    @property
    def credentials(self) -> frozenset[str]:
        """Names in the secrets directory that those whom it holds for need."""
        return frozenset().union(*(backend.traffic.credentials for backend in self.backends.values()))


def with_backends(found: VirtualHost, backends: Mapping[str, Backend]) -> VirtualHost:
    """The same host, sending to these backends instead of those of the same name; itself when it sends to none.

    Its claims are as they were: what of them comes into force needs the backends then.
    """
    if found.host not in backends and not any(to.host in backends for to in found.destinations):
        return found
    return replace(
        found,
        backend=found.backend and backends.get(found.host, found.backend),
        routes=tuple(_route(route, backends) for route in found.routes),
        connections=tuple(_connection(route, backends) for route in found.connections),
        untold=tuple(_route(route, backends) for route in found.untold),
    )


def gateway_routes_with_backends(found: GatewayRoutes, backends: Mapping[str, Backend]) -> GatewayRoutes:
    """The same rules, sending to these backends instead of those of the same name."""
    return replace(
        found,
        routes=tuple(_route(route, backends) for route in found.routes),
        connections=tuple(_connection(route, backends) for route in found.connections),
    )


def _route(route: Route, backends: Mapping[str, Backend]) -> Route:
    mirrors = tuple(replace(each, destination=_to(each.destination, backends)) for each in route.mirrors)
    return replace(route, destinations=_weighted(route.destinations, backends), mirrors=mirrors)


def _connection(route: ConnectionRoute, backends: Mapping[str, Backend]) -> ConnectionRoute:
    return replace(route, destinations=_weighted(route.destinations, backends))


def _weighted(
    destinations: tuple[WeightedDestination, ...], backends: Mapping[str, Backend]
) -> tuple[WeightedDestination, ...]:
    return tuple(replace(each, destination=_to(each.destination, backends)) for each in destinations)


def _to(destination: Destination, backends: Mapping[str, Backend]) -> Destination:
    return replace(destination, backend=backends.get(destination.host, destination.backend))
