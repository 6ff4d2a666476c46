"""What the callers of one namespace see, kept up to date: services, the rules and routes for them, and their names.

The order of `Sight.update` is the order in which things depend on each other; each step says what it changed, and the
next makes only that again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from xds_server.compiler.destination_rule import backend, rule_candidates, target, traffic_rule, unknown_host
from xds_server.compiler.export import is_exported, rank
from xds_server.compiler.finding import Outcome, Place, neighbours
from xds_server.compiler.mesh_config import ISTIO, MeshDefaults
from xds_server.compiler.services import Services
from xds_server.compiler.table import Diff, Index, Table, in_order
from xds_server.compiler.virtual_service import (
    Routes,
    Rules,
    bound_gateways,
    destinations,
    gateway_routes,
    host_candidates,
    near_destinations,
    routes,
    routes_connections,
    speaks_http,
    strange_host,
    targets,
    virtual_host,
)
from xds_server.memo import Memo
from xds_server.mesh.gateway import GatewayRoutes
from xds_server.mesh.host import Names, covers, is_wildcard, spellings
from xds_server.mesh.mesh import Scope
from xds_server.mesh.route import Backend
from xds_server.mesh.service import Service
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.policy.document import Document, precedence
from xds_server.problem import Problem

EVERYBODY = ""
"""The namespace of callers that no document speaks for."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened since a sight was last updated.

    Attributes:
        hosts: whose services are others, visible or not.
        rules, virtual_services: documents that the namespace may see.
    """

    hosts: Collection[str]
    rules: Diff
    virtual_services: Diff


class Sight:
    """What the callers of one namespace see.

    Attributes:
        scope: as of the last update; the same object while nothing in it changes.
        virtual_hosts: those of the scope by host, sorted.
        changed_hosts: virtual hosts that the last update made again.
        touched_rules: DestinationRules that the last update looked at.
    """

    def __init__(
        self, namespace: str, root_namespace: str, services: Services, memo: Memo, defaults: MeshDefaults = ISTIO
    ) -> None:
        self.scope = Scope(namespace)
        self.virtual_hosts: dict[str, VirtualHost] = {}
        self.changed_hosts: set[str] = set()
        self.touched_rules: set[Document] = set()
        self._namespace = namespace
        self._root = root_namespace
        self._all_services = services
        self._memo = memo
        self._defaults = defaults
        self._services: dict[str, Service] = {}
        self._namespace_of: dict[str, str] = {}
        self._names = Names(self._namespace_of)
        self._known: tuple[str, ...] = ()
        self._spelled: Index[str, str] = Index()
        self._domains: dict[str, tuple[str, ...]] = {}
        self._lost_names: Table[str, None] = Table()
        self._rules: Index[tuple[str, str], Document] = Index()
        self._rule_candidates: Index[str, Document] = Index()
        self._rule_wildcards: dict[str, list[str]] = {}
        self._lost_rules: Table[Document, None] = Table()
        self._backends: Table[str, Backend] = Table()
        self._claims: Index[str, Document] = Index()
        self._claim_candidates: Index[str, Document] = Index()
        self._claim_wildcards: list[str] = []
        self._destinations: Index[str, Document] = Index()
        self._routes: Table[Document, Rules] = Table()
        self._bound: Index[str, Document] = Index()
        self._gateway_routes: Table[Document, GatewayRoutes] = Table()
        self._virtual_hosts: Table[str, VirtualHost] = Table()
        self._strange: set[str] = set()

    def update(self, change: Change) -> None:
        """Take in what changed."""
        seen, renamed = self._see(change.hosts)
        if renamed:
            self._known = tuple(sorted(self._namespace_of))
        respelled = self._spell(renamed)
        ruled = self._rule(change.rules, renamed)
        backends = self._backends.remake(seen | ruled, self._backend)
        claimed, rerouted = self._claim(change.virtual_services, renamed, backends)
        by_gateway = self._bind(rerouted)
        hosts = backends | respelled | claimed | (self._strange if renamed else set())
        self.changed_hosts = self._virtual_hosts.remake(hosts, self._virtual_host)
        self._strange -= self.changed_hosts
        self._strange |= {host for host in self.changed_hosts if self._is_strange(host)}
        if backends or self.changed_hosts or by_gateway is not self.scope.gateway_routes:
            self.virtual_hosts = in_order(self.virtual_hosts, self._virtual_hosts, self.changed_hosts)
            known = in_order(self.scope.backends, self._backends, backends)
            self.scope = Scope(self._namespace, known, tuple(self.virtual_hosts.values()), by_gateway)

    @property
    def problems(self) -> Iterator[Problem]:
        """Everything found, rows without findings costing nothing."""
        tables = (self._lost_names, self._lost_rules, self._backends, self._routes, self._virtual_hosts)
        return chain.from_iterable(table.all_problems for table in tables)

    def has_foreign_target(self, document: Document) -> bool:
        """Whether a DestinationRule is for services of other namespaces than its own."""
        return any(
            is_wildcard(host) or (host and self._namespace_of.get(host) != namespace)
            for namespace, host in self._rules.of(document)
        )

    def _see(self, hosts: Iterable[str]) -> tuple[set[str], set[str]]:
        """Hosts whose service is another here, and those of them that came, went, or moved to another namespace."""
        changed, renamed = set(), set()
        for host in hosts:
            service = self._visible(host)
            if service is self._services.get(host):
                continue
            changed.add(host)
            if service is None:
                del self._services[host], self._namespace_of[host]
                renamed.add(host)
            else:
                self._services[host] = service
                if self._namespace_of.get(host) != service.namespace:
                    self._namespace_of[host] = service.namespace
                    renamed.add(host)
        return changed, renamed

    def _visible(self, host: str) -> Service | None:
        """The service that `host` is here: the namespace's own before any other, else the first namespace's."""
        seen = [s for s in self._all_services.named(host) if is_exported(s.export_to, self._namespace)]
        own = (service for service in seen if service.namespace == self._namespace)
        return next(own, seen[0] if seen else None)

    def _spell(self, renamed: set[str]) -> set[str]:
        """Give every name to one host; gives the hosts and names that this concerns."""
        names: set[str] = set()
        for host in renamed:
            names |= self._spelled.put(host, self._spellings(host))
        concerned = {*renamed, *(host for name in names for host in self._spelled.under(name))}
        for host in concerned:
            if host not in self._namespace_of:
                self._domains.pop(host, None)
                continue
            mine = [name for name in self._spellings(host) if self._speaker(name) == host]
            self._domains[host] = tuple(mine)
        self._lost_names.remake(concerned, self._lost)
        return concerned | names

    def _spellings(self, host: str) -> tuple[str, ...]:
        namespace = self._namespace_of.get(host)
        return () if namespace is None else spellings(host, namespace, self._namespace)

    def _speaker(self, name: str) -> str:
        """The host that `name` means: the one that is called so, else the first of those that could be meant."""
        return name if name in self._namespace_of else min(self._spelled.under(name))

    def _lost(self, host: str) -> Outcome[None] | None:
        lost = [name for name in self._spellings(host) if name not in self._domains[host]]
        if not lost:
            return None
        place = Place(self._all_services.definition(self._services[host])).at("hosts")
        found = [
            place.warning(
                "name-clash",
                f"{name} does not mean {host}, but the service {self._speaker(name)}",
                f"call this service by another name of its own: {self._domains[host][0]}",
            )
            for name in lost
        ]
        return Outcome(None, tuple(found))

    def _rule(self, diff: Diff, renamed: set[str]) -> set[str]:
        """Find out what each rule is for; gives the hosts whose rules are others."""
        may_mean = (document for host in renamed for document in self._rule_candidates.under(host))
        self.touched_rules = {*diff.removed, *diff.added, *may_mean}
        keys: set[tuple[str, str]] = set()
        for document in self.touched_rules:
            gone = document in diff.removed
            self._rule_candidates.put(document, () if gone else rule_candidates(document))
            found = (document.namespace, target(document, self._names))
            keys |= self._rules.put(document, () if gone else (found,))
        if any(is_wildcard(host) for _, host in keys):
            self._rule_wildcards = _by_length(self._rules.keys)
        lost = (document for key in self._rules.keys if not key[1] for document in self._rules.under(key))
        self._lost_rules.remake({*self.touched_rules, *(lost if renamed else ())}, self._lost_rule)
        return {host for _, name in keys for host in self._meant(name)}

    def _lost_rule(self, document: Document) -> Outcome[None] | None:
        lost = any(not host for _, host in self._rules.of(document))
        near = neighbours(rule_candidates(document)[0], self._known)
        return self._memo(unknown_host, document, near) if lost else None

    def _meant(self, name: str) -> Iterable[str]:
        """The hosts that a resolved name or wildcard is about; a wildcard, which may be a host of its own, included."""
        covered = (host for host, where in self._namespace_of.items() if covers(name, host, where))
        return (name, *covered) if is_wildcard(name) else (name,)

    def _backend(self, host: str) -> Outcome[Backend] | None:
        service = self._services.get(host)
        if service is None:
            return None
        documents = tuple(sorted(self._rules_for(service), key=precedence))
        return self._memo(backend, service, self._memo(traffic_rule, documents, self._defaults.traffic), documents)

    def _rules_for(self, service: Service) -> Collection[Document]:
        """The rules of the first namespace that has one: the caller's, the service's, the root namespace.

        A caller in the root namespace has no say of its own: the service's namespace is asked before it (Istio's rule).
        """
        caller = () if self._namespace in {EVERYBODY, self._root} else (self._namespace,)
        for namespace in (*caller, service.namespace, self._root):
            if found := self._rules.under((namespace, service.host)):
                return found
            for pattern in self._rule_wildcards.get(namespace, ()):
                if covers(pattern, service.host, service.namespace):
                    return self._rules.under((namespace, pattern))
        return ()

    def _claim(self, diff: Diff, renamed: set[str], backends: set[str]) -> tuple[set[str], set[Document]]:
        """Find out what each VirtualService is for, and make its routes.

        Gives the hosts that have others, and the documents whose routes are others.
        """
        may_mean = (document for host in renamed for document in self._claim_candidates.under(host))
        sending = (document for host in backends for document in self._destinations.under(host))
        lost = self._destinations.under("") if renamed else ()
        documents = {*diff.removed, *diff.added, *may_mean, *sending, *lost}
        names: set[str] = set()
        for document in documents:
            gone = document in diff.removed
            self._claim_candidates.put(document, () if gone else host_candidates(document))
            self._destinations.put(document, () if gone else destinations(document, self._names))
            names |= self._claims.put(document, () if gone else targets(document, self._names))
        if any(is_wildcard(name) for name in names):
            self._claim_wildcards = _longest_first(self._claims.keys)
        rerouted = self._routes.remake(documents, lambda d: None if d in diff.removed else self._routes_of(d))
        wide = (*names, *(self._claim_wildcards if renamed else ()))
        return {host for name in wide for host in self._meant(name)}, rerouted

    def _bind(self, rerouted: set[Document]) -> Mapping[str, tuple[GatewayRoutes, ...]]:
        """The routes for each gateway; the same object as before while none of them is another."""
        for document in rerouted:
            self._bound.put(document, bound_gateways(document) if document in self._routes.rows else ())
        if not self._gateway_routes.remake(rerouted, self._gateway_routes_of):
            return self.scope.gateway_routes
        rows = self._gateway_routes.rows
        return {
            gateway: tuple(rows[document].value for document in self._in_order(self._bound.under(gateway)))
            for gateway in sorted(self._bound.keys)
        }

    def _gateway_routes_of(self, document: Document) -> Outcome[GatewayRoutes] | None:
        if not self._bound.of(document):
            return None
        return self._memo(gateway_routes, document, self._routes.rows[document])

    def _routes_of(self, document: Document) -> Routes:
        found = tuple(self._backends.get(host) for host in destinations(document, self._names))
        near = near_destinations(document, found, self._known) if None in found else ()
        return self._memo(routes, document, found, near, self._defaults.retry)

    def _virtual_host(self, host: str) -> Outcome[VirtualHost] | None:
        found = self._backends.get(host)
        if found is None:
            return self._strange_host(host)
        rows = [self._rows(self._in_order(documents)) for documents in self._claims_for(found.service)]
        if not speaks_http(found.service) and not any(map(routes_connections, rows)):
            return None
        nearest, wider = next(iter(rows), ()), tuple(rows[1:])
        return self._memo(virtual_host, found, self._domains[host], nearest, wider, self._defaults.retry)

    def _claims_for(self, service: Service) -> Iterator[Collection[Document]]:
        """VirtualServices for a service: those for its own host, then those for each wildcard, the longest first."""
        covering = (w for w in self._claim_wildcards if covers(w, service.host, service.namespace))
        names = dict.fromkeys((service.host, *covering))
        return filter(None, map(self._claims.under, names))

    def _strange_host(self, host: str) -> Outcome[VirtualHost] | None:
        """The host of VirtualServices that mean no service; None when it means one after all."""
        documents = self._in_order(self._claims.under(host))
        if not documents or host in self._spelled or len(tuple(self._meant(host))) > 1:
            return None
        return self._memo(strange_host, host, documents, self._rows(documents), neighbours(host, self._known))

    def _is_strange(self, host: str) -> bool:
        found = self._virtual_hosts.get(host)
        return found is not None and found.backend is None

    def _in_order(self, documents: Iterable[Document]) -> tuple[Document, ...]:
        return tuple(sorted(documents, key=lambda document: (rank(document), precedence(document))))

    def _rows(self, documents: Iterable[Document]) -> tuple[Routes, ...]:
        return tuple(self._routes.rows[document] for document in documents)


def _by_length(keys: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The wildcards of each namespace, longest first."""
    found: dict[str, list[str]] = {}
    for namespace, host in keys:
        found.setdefault(namespace, []).append(host)
    return {namespace: _longest_first(hosts) for namespace, hosts in found.items()}


def _longest_first(hosts: Iterable[str]) -> list[str]:
    return sorted((host for host in hosts if is_wildcard(host)), key=lambda host: (-len(host), host))
