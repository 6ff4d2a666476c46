"""All that holds for one host name: what the VirtualServices that speak of it make together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from xds_server.mesh.route import Backend, ConnectionMatch, ConnectionRoute, Destination, Match, Route
from xds_server.problem import Origin


@dataclass(frozen=True, eq=False)
class VirtualHost:
    """All routes for one host name as the sidecars of one namespace see them. Compared by identity.

    Attributes:
        host: service host, or the VirtualService's host when no service has it.
        domains: host names that mean it, most specific spelling first, without ports; unique within a scope.
        backend: the service behind the name; None when none has it.
        routes: the VirtualService routes in order. () means Istio's default route: everything to the service,
            default retries, no timeout. A service's port that no route covers answers 404.
        connections: its tls and tcp rules in order, for ports that are not routed request by request.
        untold: the routes where no VirtualService that is seen speaks of it.
    """

    host: str
    domains: tuple[str, ...]
    backend: Backend | None
    routes: tuple[Route, ...] = ()
    connections: tuple[ConnectionRoute, ...] = ()
    untold: tuple[Route, ...] = ()

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """Of the VirtualServices that speak of it."""
        found = (*(route.namespace for route in self.routes), *(rule.namespace for rule in self.connections))
        return frozenset(namespace for namespace in found if namespace)

    def ruled_from(self, namespaces: frozenset[str]) -> VirtualHost:
        """The same under the VirtualServices of these namespaces alone; the same object for the same, as views need."""
        if namespaces not in self._ruled_from:
            routes = tuple(route for route in self.routes if route.namespace in namespaces) or self.untold
            connections = tuple(rule for rule in self.connections if rule.namespace in namespaces)
            self._ruled_from[namespaces] = replace(self, routes=routes, connections=connections)
        return self._ruled_from[namespaces]

    @cached_property
    def _ruled_from(self) -> dict[frozenset[str], VirtualHost]:
        return {}

    @cached_property
    def source_keys(self) -> frozenset[str]:
        """Label keys of the caller that some route asks for."""
        return frozenset(key for match in self._matches for key, _ in match.source_labels)

    @cached_property
    def asks_namespace(self) -> bool:
        """Whether some route asks for the namespace of the caller."""
        return any(match.source_namespace for match in self._matches)

    @property
    def destinations(self) -> Iterator[Destination]:
        """Everything that its rules send to, mirrors included."""
        for route in self.routes:
            yield from (weighted.destination for weighted in route.destinations)
            yield from (mirror.destination for mirror in route.mirrors)
        for connection in self.connections:
            yield from (weighted.destination for weighted in connection.destinations)

    @property
    def _matches(self) -> tuple[Match | ConnectionMatch, ...]:
        return (*(route.match for route in self.routes), *(route.match for route in self.connections))

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The VirtualService documents behind it, each once, in order."""
        origins = (*(route.origin for route in self.routes), *(route.origin for route in self.connections))
        return tuple(dict.fromkeys(origin for origin in origins if origin is not None))
