"""All that holds for one host name: what the VirtualServices that speak of it make together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from operator import attrgetter

from xds_server.mesh.route import Backend, ConnectionMatch, ConnectionRoute, Destination, Match, Route
from xds_server.mesh.shadow import merged
from xds_server.problem import Origin


@dataclass(frozen=True, eq=False, slots=True)
class Claim:
    """What one VirtualService of `namespace` says to sidecars. Compared by identity."""

    namespace: str
    routes: tuple[Route, ...] = ()
    connections: tuple[ConnectionRoute, ...] = ()


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
        claims: the VirtualServices that are for it, in order of precedence: those in force, and behind them those for
            ever wider wildcards, which are in force where a Sidecar lets none of the former in.
    """

    host: str
    domains: tuple[str, ...]
    backend: Backend | None
    routes: tuple[Route, ...] = ()
    connections: tuple[ConnectionRoute, ...] = ()
    untold: tuple[Route, ...] = ()
    claims: tuple[tuple[Claim, ...], ...] = ()

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """Of the VirtualServices that are for it."""
        return frozenset(claim.namespace for claim in self._all_claims)

    def ruled_from(self, namespaces: frozenset[str]) -> VirtualHost:
        """The same under the VirtualServices of these namespaces alone; the same object for the same, as views need."""
        heard = self._heard(namespaces)
        if heard == next(iter(self.claims), ()):
            return self
        if heard not in self._ruled_by:
            routes, _ = merged([claim.routes for claim in heard], attrgetter("match"))
            connections = tuple(rule for claim in heard for rule in claim.connections)
            self._ruled_by[heard] = replace(self, routes=tuple(routes) or self.untold, connections=connections)
        return self._ruled_by[heard]

    def _heard(self, namespaces: frozenset[str]) -> tuple[Claim, ...]:
        """The claims of these namespaces that name the host most closely."""
        heard = (tuple(claim for claim in near if claim.namespace in namespaces) for near in self.claims)
        return next(filter(None, heard), ())

    @cached_property
    def _ruled_by(self) -> dict[tuple[Claim, ...], VirtualHost]:
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
    def _all_claims(self) -> Iterator[Claim]:
        return chain.from_iterable(self.claims)

    @property
    def _all_told(self) -> tuple[VirtualHost | Claim, ...]:
        return (self, *self._all_claims)

    @property
    def _matches(self) -> tuple[Match | ConnectionMatch, ...]:
        routes = (route.match for told in self._all_told for route in told.routes)
        return (*routes, *(rule.match for told in self._all_told for rule in told.connections))

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The VirtualService documents behind it, each once, in order."""
        origins = (*(route.origin for route in self.routes), *(route.origin for route in self.connections))
        return tuple(dict.fromkeys(origin for origin in origins if origin is not None))
