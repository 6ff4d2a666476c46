"""What each namespace sees: the services exported to it, with the rules and routes that its callers meet.

Most namespaces see what everybody sees. Those share the objects of the default scope, and so does everything that a
namespace with something of its own has in common with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from xds_server.compiler.destination_rule import Rules, backends, target, unknown_host
from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.service_entry import export_to
from xds_server.compiler.virtual_service import Claims, targets, virtual_hosts, virtual_hosts_without_service
from xds_server.memo import Memo
from xds_server.mesh.host import DOMAIN, Clash, Names, domains
from xds_server.mesh.mesh import Scope
from xds_server.mesh.route import VirtualHost
from xds_server.mesh.service import Service
from xds_server.policy.destination_rule import DestinationRuleSpec
from xds_server.policy.document import Document
from xds_server.policy.virtual_service import VirtualServiceSpec
from xds_server.problem import Problem

EVERYBODY = ""
"""The namespace of callers that no document speaks for."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything that scopes are made of.

    Attributes:
        services: all of them, sorted by (host, namespace).
        destination_rules, virtual_services: in order of precedence.
        entries: the ServiceEntries, for findings about services.
    """

    services: tuple[Service, ...]
    destination_rules: tuple[Document, ...]
    virtual_services: tuple[Document, ...]
    entries: tuple[Document, ...]
    root_namespace: str


@dataclass(frozen=True, slots=True)
class _Sight:
    """What one namespace sees, before it is put together. Equal sights make equal scopes, spellings aside."""

    services: tuple[Service, ...]
    rules: tuple[Document, ...]
    virtual_services: tuple[Document, ...]
    own_rules: tuple[Document, ...]
    """Rules of the namespace for services of other namespaces: only its own callers meet them first."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scope of each namespace, and the one for all others."""

    by_namespace: Mapping[str, Scope]
    default: Scope


def scopes(namespaces: Iterable[str], inputs: Inputs, memo: Memo) -> Outcome[Scopes]:
    """A scope for each of `namespaces`."""
    public = _sight(EVERYBODY, inputs, memo)
    default, problems = _scope(EVERYBODY, public, inputs, memo)
    found: dict[str, Scope] = {}
    special: dict[str, tuple[Problem, ...]] = {}
    for namespace in sorted(namespaces):
        sight = _sight(namespace, inputs, memo)
        if sight == public:
            found[namespace] = _respelled(namespace, default, public, inputs, memo)
        else:
            found[namespace], special[namespace] = _scope(namespace, sight, inputs, memo)
    # A finding is about what the callers of its author's namespace meet.
    mine = [p for p in problems if p.namespace not in special]
    mine += [p for namespace, own in special.items() for p in own if p.namespace == namespace]
    clashes = memo(_clashes, inputs.services, inputs.entries)
    return Outcome(Scopes(found, default), (*mine, *clashes))


def _sight(namespace: str, inputs: Inputs, memo: Memo) -> _Sight:
    services = memo(_visible_services, inputs.services, _seer(namespace, memo(_exported, inputs.services)))
    rules = _visible(namespace, inputs.destination_rules, memo)
    foreign = memo(_foreign_rules, _rules(services, rules, memo), _names(services, memo), inputs.root_namespace)
    return _Sight(
        services=services,
        rules=rules,
        virtual_services=_visible(namespace, inputs.virtual_services, memo),
        own_rules=foreign.get(namespace, ()),
    )


def _scope(namespace: str, sight: _Sight, inputs: Inputs, memo: Memo) -> tuple[Scope, tuple[Problem, ...]]:
    names = _names(sight.services, memo)
    rules = _rules(sight.services, sight.rules, memo)
    spelled, _ = _domains(namespace, sight.services, memo)
    claims = _claims(sight, memo)
    known = backends(sight.services, rules, namespace, inputs.root_namespace, memo)
    hosts = virtual_hosts(known.value, spelled, claims, names, memo)
    others = virtual_hosts_without_service(known.value, spelled, claims, names, memo)
    lost = memo.each(unknown_host, ((document, names) for document in rules.without_host)).values()
    problems = (*known.problems, *hosts.problems, *others.problems, *(p for found in lost for p in found))
    scope = Scope(namespace, known.value, _in_order(hosts.value, others.value))
    return scope, problems


def _respelled(namespace: str, default: Scope, sight: _Sight, inputs: Inputs, memo: Memo) -> Scope:
    """The default scope for a namespace that sees the same, but calls its own services by their bare names."""
    usual, _ = _domains(EVERYBODY, sight.services, memo)
    spelled, _ = _domains(namespace, sight.services, memo)
    if spelled is usual:
        return Scope(namespace, default.backends, default.virtual_hosts)
    other = {host: names for host, names in spelled.items() if names != usual[host]}
    names = _names(sight.services, memo)
    made = virtual_hosts(default.backends, other, _claims(sight, memo), names, memo)
    instead = {virtual_host.host: virtual_host for virtual_host in made.value}
    hosts = tuple(instead.get(virtual_host.host, virtual_host) for virtual_host in default.virtual_hosts)
    return Scope(namespace, default.backends, hosts)


def _in_order(hosts: tuple[VirtualHost, ...], others: tuple[VirtualHost, ...]) -> tuple[VirtualHost, ...]:
    return tuple(sorted((*hosts, *others), key=lambda found: found.host)) if others else hosts


def _names(services: tuple[Service, ...], memo: Memo) -> Names:
    return memo(Names, memo(_pairs, services))


def _pairs(services: tuple[Service, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((service.host, service.namespace) for service in services)


def _rules(services: tuple[Service, ...], documents: tuple[Document, ...], memo: Memo) -> Rules:
    names = _names(services, memo)
    found = memo.each(target, ((document, names) for document in documents))
    return memo(Rules, documents, tuple(found.values()))


def _claims(sight: _Sight, memo: Memo) -> Claims:
    names = _names(sight.services, memo)
    found = memo.each(targets, ((document, names) for document in sight.virtual_services))
    return memo(Claims, sight.virtual_services, tuple(found.values()))


def _domains(
    namespace: str, services: tuple[Service, ...], memo: Memo
) -> tuple[dict[str, tuple[str, ...]], tuple[Clash, ...]]:
    """The spellings of each host for callers of `namespace`: the very same for all that no bare name is for."""
    pairs = memo(_pairs, services)
    return memo(domains, pairs, _seer(namespace, memo(_bare_namespaces, pairs)))


def _bare_namespaces(pairs: tuple[tuple[str, str], ...]) -> frozenset[str]:
    """Namespaces whose callers may say a bare name for a service with a full one."""
    suffix = f".svc.{DOMAIN}"
    full = (host.removesuffix(suffix) for host, _ in pairs if host.endswith(suffix))
    return frozenset(name.partition(".")[2] for name in full)


def _seer(namespace: str, special: frozenset[str]) -> str:
    """Under which name a namespace is remembered: its own if it sees what others do not."""
    return namespace if namespace in special else EVERYBODY


def _exported(services: tuple[Service, ...]) -> frozenset[str]:
    """Namespaces that see other services than everybody does: some are exported to them, or a host is twice there."""
    named = {namespace for service in services if service.export_to != ("*",) for namespace in service.export_to}
    hosts: dict[str, str] = {}
    for service in services:
        if (other := hosts.setdefault(service.host, service.namespace)) != service.namespace:
            named |= {other, service.namespace}
    return frozenset(named)


def _visible_services(services: tuple[Service, ...], namespace: str) -> tuple[Service, ...]:
    """Those exported to `namespace`, each host once: its own before any other, else the first namespace's."""
    seen = [s for s in services if "*" in s.export_to or namespace in s.export_to]
    found: dict[str, Service] = {}
    for service in seen:
        if service.namespace == namespace or service.host not in found:
            found[service.host] = service
    return services if len(found) == len(services) else tuple(found.values())


def _visible(namespace: str, documents: tuple[Document, ...], memo: Memo) -> tuple[Document, ...]:
    return memo(_visible_documents, documents, _seer(namespace, memo(_exported_documents, documents)))


def _exported_documents(documents: tuple[Document, ...]) -> frozenset[str]:
    """Namespaces that see other documents than everybody does."""
    return frozenset(
        name for document in documents if (names := _document_export(document)) != ("*",) for name in names
    )


def _visible_documents(documents: tuple[Document, ...], namespace: str) -> tuple[Document, ...]:
    """Those exported to `namespace`: its private ones, then those that name it, then public ones (Istio's order)."""
    exports = [(document, _document_export(document)) for document in documents]
    seen = [(document, names) for document, names in exports if "*" in names or namespace in names]
    return tuple(document for document, names in sorted(seen, key=lambda pair: _rank(*pair)))


def _rank(document: Document, names: tuple[str, ...]) -> int:
    if names == ("*",):
        return 2
    return 0 if names == (document.namespace,) else 1


def _document_export(document: Document) -> tuple[str, ...]:
    return export_to(document, cast("DestinationRuleSpec | VirtualServiceSpec", document.spec).export_to)


def _foreign_rules(rules: Rules, names: Names, root: str) -> dict[str, tuple[Document, ...]]:
    """By namespace, its rules for services of others: its callers meet them, others do not."""
    found: dict[str, list[Document]] = {}
    for (namespace, host), documents in rules.by_target.items():
        if host and namespace != root and names.namespace_of.get(host) != namespace:
            found.setdefault(namespace, []).extend(documents)
    return {namespace: tuple(documents) for namespace, documents in found.items()}


def _clashes(services: tuple[Service, ...], entries: tuple[Document, ...]) -> tuple[Problem, ...]:
    """Services whose host or spelling another service has."""
    document_of = {document.origin: document for document in entries}
    place_of = {service: Place(document_of[service.origins[0]]).at("hosts") for service in services}
    first: dict[str, Service] = {}
    problems = []
    for service in services:
        winner = first.setdefault(service.host, service)
        if winner is not service:
            message = (
                f"{winner.host} is defined by {winner.origins[0]} too: only callers of {service.namespace} see this"
            )
            fix = f"call it {service.host}.{service.namespace} or another name of its own"
            problems.append(place_of[service].warning("host-clash", message, fix))
    _, clashes = domains(_pairs(tuple(first.values())), EVERYBODY)
    for name, loser, winner_host in clashes:
        message = f"{name} means the service {winner_host}, which is called so, and not {loser}"
        problems.append(place_of[first[loser]].warning("name-clash", message, "rename one of the two services"))
    return tuple(problems)
