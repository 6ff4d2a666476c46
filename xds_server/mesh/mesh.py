"""The whole mesh as the policies mean it: the only thing the compiler returns besides problems."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from xds_server.mesh.gateway import Gateway, GatewayRoutes
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS, ProxySettings
from xds_server.mesh.route import Backend
from xds_server.mesh.security import NO_POLICIES, ChangingPolicies, PeerPolicies
from xds_server.mesh.selective import SelectiveRule, gateway_routes_with_backends, with_backends
from xds_server.mesh.service import Service
from xds_server.mesh.service_index import ServiceIndex
from xds_server.mesh.sidecar import OutboundPolicy, Sidecar
from xds_server.mesh.telemetry import TelemetryPolicies
from xds_server.mesh.virtual_address import virtual_addresses
from xds_server.mesh.virtual_host import VirtualHost


@dataclass(frozen=True, eq=False)
class Scope:
    """What one namespace sees before any Sidecar narrows it: every host once, with the rules in force there.

    Attributes:
        backends: by service host, sorted by host.
        virtual_hosts: sorted by host; HTTP names, those of no service included.
        gateway_routes: by gateway ("namespace/name"), the rules of VirtualServices that name it, by precedence.
        selected: those of the backends that are as rules for some workloads only have them.
    """

    namespace: str
    backends: Mapping[str, Backend] = field(default_factory=dict)
    virtual_hosts: tuple[VirtualHost, ...] = ()
    gateway_routes: Mapping[str, tuple[GatewayRoutes, ...]] = field(default_factory=dict)
    selected: Mapping[str, Backend] = field(default_factory=dict)
    _ruled: dict[tuple[SelectiveRule, ...], Scope] = field(default_factory=dict, init=False, repr=False)
    _heard: dict[VirtualHost, VirtualHost] = field(default_factory=dict, init=False, repr=False)

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
                backends,
            )
        return self._ruled[rules]

    def ruled_from(self, namespaces: frozenset[str], found: VirtualHost) -> VirtualHost:
        """One of its hosts under the VirtualServices of these namespaces alone; one object for the same."""
        heard = found.ruled_from(namespaces)
        if heard is found or not self.selected:
            return heard
        if heard not in self._heard:
            self._heard[heard] = with_backends(heard, self.selected)
        return self._heard[heard]

    @cached_property
    def all_backends(self) -> tuple[Backend, ...]:
        """Every backend, in order."""
        return tuple(self.backends.values())

    @cached_property
    def source_keys(self) -> frozenset[str]:
        """Label keys of the caller that some route asks for."""
        return frozenset().union(*map(operator.attrgetter("source_keys"), self.virtual_hosts))

    @cached_property
    def caller_keys(self) -> frozenset[str]:
        """Label keys of the caller that the order of some service's endpoints depends on."""
        return frozenset().union(*map(operator.attrgetter("traffic.caller_keys"), self.all_backends))

    @cached_property
    def asks_namespace(self) -> bool:
        """Whether some route asks for the namespace of the caller."""
        return any(map(operator.attrgetter("asks_namespace"), self.virtual_hosts))


@dataclass(frozen=True, eq=False)
class Mesh:
    """Everything above, indexed.

    Attributes:
        services: every service, visible or not, sorted by (host, namespace).
        service_index: the same by what may tell that a workload serves them.
        scopes: by namespace, for every namespace that holds documents.
        default_scope: for workloads of any other namespace: what everybody may see.
        selective: DestinationRules for some workloads only, in order of precedence.
        sidecars: in order of precedence within a namespace: with a selector first, then oldest.
        peers: what workloads ask of their callers.
        telemetry: what they tell of requests.
        gateways: in order of precedence.
        http_proxy_port: of sidecars without capture that name none; 0 for none.
        trust_domain_aliases: honoured beside those that the server was started with.
        credentials: the names in the secrets directory; None when there is no such directory.
        settings: for every proxy alike.
    """

    services: tuple[Service, ...] = ()
    service_index: ServiceIndex = field(default_factory=ServiceIndex, repr=False)  # its order means nothing
    scopes: Mapping[str, Scope] = field(default_factory=dict)
    default_scope: Scope = field(default_factory=lambda: Scope(""))
    sidecars: tuple[Sidecar, ...] = ()
    selective: tuple[SelectiveRule, ...] = ()
    peers: PeerPolicies | ChangingPolicies = NO_POLICIES
    telemetry: TelemetryPolicies = TelemetryPolicies()
    gateways: tuple[Gateway, ...] = ()
    credentials: frozenset[str] | None = None
    root_namespace: str = "default"
    outbound_policy: OutboundPolicy = OutboundPolicy.ALLOW_ANY
    http_proxy_port: int = 0
    trust_domain_aliases: tuple[str, ...] = ()
    settings: ProxySettings = ISTIO_SETTINGS

    @cached_property
    def virtual_addresses(self) -> dict[tuple[str, str], str]:
        """Addresses of services that have none of their own, by (host, namespace); read only."""
        return virtual_addresses(self.services)

    def scope(self, namespace: str) -> Scope:
        """The scope a workload of `namespace` starts from."""
        return self.scopes.get(namespace, self.default_scope)
