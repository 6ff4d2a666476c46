"""The scope of every namespace, kept up to date.

Most namespaces see what everybody sees, and share the objects of the default scope. One has a sight of its own only
when something is exported to it, or when its DestinationRules are for services of others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from xds_server.compiler.export import PUBLIC, export_to, is_exported
from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.mesh_config import ISTIO, MeshDefaults
from xds_server.compiler.services import Services
from xds_server.compiler.sight import EVERYBODY, Change, Sight
from xds_server.compiler.table import Diff, Index, Table
from xds_server.memo import Memo
from xds_server.mesh.host import spellings, split
from xds_server.mesh.mesh import Scope
from xds_server.mesh.service import Service
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.policy.document import Document
from xds_server.problem import Problem


@dataclass(eq=False, slots=True)
class _Seen:
    """Documents of one kind that were seen so far."""

    documents: set[Document]

    def update(self, diff: Diff) -> None:
        self.documents -= diff.removed
        self.documents |= diff.added

    def visible(self, namespace: str) -> Diff:
        """All of them that `namespace` may see, as if they were new."""
        return _visible(Diff(added=frozenset(self.documents)), namespace)


class Scopes:
    """The scope of every namespace, and the one for all others."""

    def __init__(self, root_namespace: str, services: Services, memo: Memo, defaults: MeshDefaults = ISTIO) -> None:
        self._defaults = defaults
        self._root = root_namespace
        self._services = services
        self._memo = memo
        self._default = Sight(EVERYBODY, root_namespace, services, memo, defaults)
        self._sights: dict[str, Sight] = {}
        self._hosts: set[str] = set()
        self._rules = _Seen(set())
        self._virtual_services = _Seen(set())
        self._special: Index[str, tuple[str, str | Document]] = Index()
        self._clashes: Table[str, None] = Table()
        self._bare: Table[str, VirtualHost] = Table()
        self._bare_hosts: Index[str, str] = Index()
        self._full_hosts: Index[str, str] = Index()
        self._plain: dict[str, tuple[Scope, Scope]] = {}

    @property
    def default(self) -> Scope:
        """What everybody sees."""
        return self._default.scope

    def update(self, change: Change) -> None:
        """Take in what changed; `change` holds documents whatever they are exported to."""
        gone = {host for host in change.hosts if not self._services.named(host)}
        self._hosts = (self._hosts | set(change.hosts)) - gone
        self._rules.update(change.rules)
        self._virtual_services.update(change.virtual_services)
        self._default.update(_seen_from(change, EVERYBODY))
        self._find_special(change)
        for namespace in [name for name in self._sights if name not in self._special]:
            del self._sights[namespace]
        for namespace in self._special.keys:
            self._look(namespace, change)
        self._clashes.remake(change.hosts, self._clash)
        for host in change.hosts:
            self._full_hosts.put(host, split(host, EVERYBODY)[:1] if host in self._hosts else ())
        again = {full for host in change.hosts for full in self._full_hosts.under(host)}
        self._respell(self._default.changed_hosts | again)

    def by_namespace(self, namespaces: Iterable[str]) -> dict[str, Scope]:
        """The scope of each namespace that holds documents, or that something is exported to."""
        return {name: self._scope(name) for name in sorted({*namespaces, *self._special.keys})}

    @property
    def problems(self) -> list[Problem]:
        """What was found; of what concerns callers, what those of its author's namespace meet."""
        found = [problem for problem in self._default.problems if problem.namespace not in self._sights]
        for namespace, sight in self._sights.items():
            found += [problem for problem in sight.problems if problem.namespace == namespace]
        return [*found, *self._clashes.all_problems]

    def _find_special(self, change: Change) -> None:
        """Find the namespaces that see something that others do not, and why."""
        for host in change.hosts:
            self._special.put(("service", host), _seen_apart(self._services.named(host)))
        for diff in (change.rules, change.virtual_services):
            for document in diff.removed:
                self._special.put(("exported", document), ())
            for document in diff.added:
                self._special.put(("exported", document), _named(export_to(document)))
        for document in self._default.touched_rules:
            foreign = document.namespace != self._root and self._default.has_foreign_target(document)
            self._special.put(("foreign", document), (document.namespace,) if foreign else ())

    def _look(self, namespace: str, change: Change) -> None:
        sight = self._sights.get(namespace)
        if sight is not None:
            sight.update(_seen_from(change, namespace))
            return
        sight = self._sights[namespace] = Sight(namespace, self._root, self._services, self._memo, self._defaults)
        rules, virtual_services = self._rules.visible(namespace), self._virtual_services.visible(namespace)
        sight.update(Change(self._hosts, rules, virtual_services))

    def _clash(self, host: str) -> Outcome[None] | None:
        """What to say of services with one host in several namespaces."""
        found = self._services.named(host)
        if len(found) < 2:
            return None
        first, *others = found
        winner = self._services.definition(first).origin
        problems = [
            Place(self._services.definition(service))
            .at("hosts")
            .warning(
                "host-clash",
                f"{host} is defined by {winner} too: only callers of namespace {service.namespace} see this one",
                f"call it {host}.{service.namespace}, or another name of its own",
            )
            for service in others
        ]
        return Outcome(None, tuple(problems))

    def _respell(self, hosts: Iterable[str]) -> None:
        """Let services with full names answer to their first part in their own namespace (Istio's rule)."""
        for host in self._bare.remake(hosts, self._with_bare_name):
            known = host in self._bare.rows
            self._bare_hosts.put(host, (split(host, EVERYBODY)[1],) if known else ())

    def _with_bare_name(self, host: str) -> Outcome[VirtualHost] | None:
        found = self._default.virtual_hosts.get(host)
        short, namespace = split(host, EVERYBODY)
        if found is None or found.backend is None or short in self._hosts:
            return None
        return self._memo(_with_domain, found, short) if short in spellings(host, namespace, namespace) else None

    def _scope(self, namespace: str) -> Scope:
        sight = self._sights.get(namespace)
        if sight is not None:
            return sight.scope
        default, scope = self._plain.get(namespace, (None, None))
        if default is not self.default or scope is None:
            scope = self._plain_scope(namespace)
            self._plain[namespace] = self.default, scope
        return scope

    def _plain_scope(self, namespace: str) -> Scope:
        own = {host: self._bare.rows[host].value for host in self._bare_hosts.under(namespace)}
        hosts = tuple({**self._default.virtual_hosts, **own}.values()) if own else self.default.virtual_hosts
        return Scope(namespace, self.default.backends, hosts, self.default.gateway_routes)


def _with_domain(found: VirtualHost, name: str) -> Outcome[VirtualHost]:
    return Outcome(replace(found, domains=(*found.domains, name)))


def _seen_apart(services: Iterable[Service]) -> set[str]:
    """Namespaces that do not see what everybody sees of the services of one host."""
    found = list(services)
    apart = {namespace for service in found for namespace in _named(service.export_to)}
    return apart | {service.namespace for service in found} if len(found) > 1 else apart


def _named(names: tuple[str, ...]) -> tuple[str, ...]:
    return () if names == PUBLIC else names


def _seen_from(change: Change, namespace: str) -> Change:
    rules, virtual_services = _visible(change.rules, namespace), _visible(change.virtual_services, namespace)
    return Change(change.hosts, rules, virtual_services)


def _visible(diff: Diff, namespace: str) -> Diff:
    removed = frozenset(document for document in diff.removed if is_exported(export_to(document), namespace))
    added = frozenset(document for document in diff.added if is_exported(export_to(document), namespace))
    return Diff(removed, added)
