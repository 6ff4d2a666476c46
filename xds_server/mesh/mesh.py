"""The whole mesh as the policies mean it: the only thing the compiler returns besides problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from xds_server.mesh.gateway import Gateway, GatewayRoutes
from xds_server.mesh.route import Backend, VirtualHost
from xds_server.mesh.security import NO_POLICIES, PeerPolicies
from xds_server.mesh.selective import SelectiveRule, gateway_routes_with_backends, with_backends
from xds_server.mesh.service import Service
from xds_server.mesh.sidecar import OutboundPolicy, Sidecar
from xds_server.mesh.virtual_address import virtual_addresses


@dataclass(frozen=True, eq=False)
class Scope:
    """What one namespace sees before any Sidecar narrows it: every host once, with the rules in force there.

    Attributes:
        backends: by service host, sorted by host.
        virtual_hosts: sorted by host; HTTP names, those of no service included.
        gateway_routes: by gateway ("namespace/name"), the rules of VirtualServices that name it, by precedence.
    """

    namespace: str
    backends: Mapping[str, Backend] = field(default_factory=dict)
    virtual_hosts: tuple[VirtualHost, ...] = ()
    gateway_routes: Mapping[str, tuple[GatewayRoutes, ...]] = field(default_factory=dict)
    _ruled: dict[tuple[SelectiveRule, ...], Scope] = field(default_factory=dict, init=False, repr=False)

    def ruled(self, rules: tuple[SelectiveRule, ...]) -> Scope:
        """The same with these rules in force, the first one for a host before others; one object for the same rules."""
        if not rules:
            return self
        if rules not in self._ruled:
            backends = {host: found for rule in reversed(rules) for host, found in rule.backends.items()}
            self._ruled[rules] = Scope(
                self.namespace,
                {host: backends.get(host, found) for host, found in self.backends.items()},
                tuple(with_backends(found, backends) for found in self.virtual_hosts),
                {
                    gateway: tuple(gateway_routes_with_backends(found, backends) for found in routes)
                    for gateway, routes in self.gateway_routes.items()
                },
            )
        return self._ruled[rules]

    @cached_property
    def all_backends(self) -> tuple[Backend, ...]:
        """Every backend, in order."""
        return tuple(self.backends.values())

    @cached_property
    def source_keys(self) -> frozenset[str]:
        """Label keys of the caller that some route asks for."""
        return frozenset().union(*[host.source_keys for host in self.virtual_hosts])

    @cached_property
    def caller_keys(self) -> frozenset[str]:
        """Label keys of the caller that the order of some service's endpoints depends on."""
        return frozenset().union(*[backend.traffic.caller_keys for backend in self.all_backends])

    @cached_property
    def asks_namespace(self) -> bool:
        """Whether some route asks for the namespace of the caller."""
        return any(host.asks_namespace for host in self.virtual_hosts)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Everything above, indexed.

    Attributes:
        services: every service, visible or not, sorted by (host, namespace).
        scopes: by namespace, for every namespace that holds documents.
        default_scope: for workloads of any other namespace: what everybody may see.
        selective: DestinationRules for some workloads only, in order of precedence.
        sidecars: in order of precedence within a namespace: with a selector first, then oldest.
        peers: what workloads ask of their callers.
        gateways: in order of precedence.
        http_proxy_port: of sidecars without capture that name none; 0 for none.
        credentials: the names in the secrets directory; None when there is no such directory.
    """

    services: tuple[Service, ...] = ()
    scopes: Mapping[str, Scope] = field(default_factory=dict)
    default_scope: Scope = field(default_factory=lambda: Scope(""))
    sidecars: tuple[Sidecar, ...] = ()
    selective: tuple[SelectiveRule, ...] = ()
    peers: PeerPolicies = NO_POLICIES
    gateways: tuple[Gateway, ...] = ()
    credentials: frozenset[str] | None = None
    root_namespace: str = "default"
    outbound_policy: OutboundPolicy = OutboundPolicy.ALLOW_ANY
    http_proxy_port: int = 0

    @cached_property
    def virtual_addresses(self) -> dict[tuple[str, str], str]:
        """Addresses of services that have none of their own, by (host, namespace); read only."""
        return virtual_addresses(self.services)

    @cached_property
    def services_by_workload(self) -> dict[tuple[str, str], list[Service]]:
        """Services with an endpoint from the WorkloadEntry of that (namespace, name); read only."""
        found: dict[tuple[str, str], list[Service]] = {}
        for service in self.services:
            for key in service.endpoint_by_workload:
                found.setdefault(key, []).append(service)
        return found

    def services_at(self, address: str) -> tuple[Service, ...]:
        """Services with an endpoint at that address, loopback aside."""
        first, others = self._services_by_address
        return (first[address], *others.get(address, ())) if address in first else ()

    @cached_property
    def _services_by_address(self) -> tuple[dict[str, Service], dict[str, list[Service]]]:
        """The first service of each address, and the others: few addresses have one, and a list for each would cost."""
        first: dict[str, Service] = {}
        others: dict[str, list[Service]] = {}
        for service in self.services:
            for address in service.endpoint_by_address:
                if first.setdefault(address, service) is not service:
                    others.setdefault(address, []).append(service)
        return first, others

    @cached_property
    def services_by_selector(self) -> dict[tuple[str, tuple[str, str]], list[Service]]:
        """Services that choose their workloads by labels, by (namespace, first pair of the selector); read only."""
        found: dict[tuple[str, tuple[str, str]], list[Service]] = {}
        for service in self.services:
            if service.selector:
                found.setdefault((service.namespace, service.selector[0]), []).append(service)
        return found

    def scope(self, namespace: str) -> Scope:
        """The scope a workload of `namespace` starts from."""
        return self.scopes.get(namespace, self.default_scope)
