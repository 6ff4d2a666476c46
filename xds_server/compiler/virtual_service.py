"""What VirtualServices mean: which of them speak for a host, and the one list of routes they make together.

Several for one host are merged as Istio merges them at a gateway: in order of precedence, catch-alls last. On purpose
better than Istio's sidecars, which obey the oldest and drop the rest in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from xds_server.compiler.finding import Outcome, Place, nearest
from xds_server.compiler.http_route import Bound, Known, bound_routes, destination_names, rule_problems
from xds_server.compiler.shadow import Earlier
from xds_server.memo import Memo
from xds_server.mesh.host import Names, covers, is_wildcard, normal
from xds_server.mesh.route import Backend, Destination, VirtualHost
from xds_server.mesh.service import Protocol, Service
from xds_server.policy.document import Document
from xds_server.policy.virtual_service import VirtualServiceSpec
from xds_server.problem import Problem

NO_NAMES = Names(())
"""Stands for the known names where none is looked for, so that a new service disturbs nobody's routes."""

Routes = Outcome[tuple[Bound, ...]]
"""The routes of one VirtualService, as one namespace sees them."""


class Claims:
    """The VirtualServices that one namespace may see, by what they are for. Compared by identity."""

    def __init__(self, documents: Sequence[Document], targets: Sequence[tuple[str, ...]]) -> None:
        """`targets`: for each document its hosts, those of services resolved."""
        self.documents = tuple(document for document, hosts in zip(documents, targets, strict=True) if hosts)
        found: dict[str, list[Document]] = {}
        for document, hosts in zip(documents, targets, strict=True):
            for host in hosts:
                found.setdefault(host, []).append(document)
        self.by_host = {host: tuple(documents) for host, documents in found.items()}
        self._wildcards = sorted(filter(is_wildcard, found), key=lambda host: (-len(host), host))

    def documents_for(self, host: str, namespace: str) -> tuple[Document, ...]:
        """Those in force for a service, in order of precedence: for its own host, else for the longest wildcard."""
        own = self.by_host.get(host)
        if own is not None or not self._wildcards:
            return own or ()
        return next((self.by_host[w] for w in self._wildcards if covers(w, host, namespace)), ())

    def without_service(self, names: Names) -> list[str]:
        """Hosts and wildcards that mean no service at all, sorted."""
        return sorted(
            host
            for host in self.by_host
            if host not in names.namespace_of and not (is_wildcard(host) and names.covered(host))
        )


def targets(document: Document, names: Names) -> tuple[str, ...]:
    """The hosts that a VirtualService is for: a service's where its name means one, else as written.

    Nothing for one that sidecars do not obey: it is bound to gateways only, or another delegates to it.
    """
    spec = _spec(document)
    if not spec.on_mesh:
        return ()
    return tuple(
        dict.fromkeys(names.resolve(host, document.namespace) or normal(host) for host in spec.hosts),
    )


def virtual_hosts(
    backends: Mapping[str, Backend],
    domains: Mapping[str, tuple[str, ...]],
    claims: Claims,
    names: Names,
    memo: Memo,
) -> Outcome[tuple[VirtualHost, ...]]:
    """Every HTTP host of one namespace's callers, sorted by host.

    `domains` may leave hosts out: then only those that it has are made.
    """
    routes = _routes(claims, backends, names, memo)
    calls = [
        (host, spelled, backend, tuple([routes[d] for d in claims.documents_for(host, backend.service.namespace)]))
        for host, spelled in domains.items()
        if _speaks_http((backend := backends[host]).service)
    ]
    made = list(memo.each(_virtual_host, calls).values())
    problems = [p for outcome in (*routes.values(), *made) if outcome.problems for p in outcome.problems]
    return Outcome(tuple([outcome.value for outcome in made]), tuple(problems))


def virtual_hosts_without_service(
    backends: Mapping[str, Backend],
    domains: Mapping[str, tuple[str, ...]],
    claims: Claims,
    names: Names,
    memo: Memo,
) -> Outcome[tuple[VirtualHost, ...]]:
    """The hosts of VirtualServices that mean no service, each answering to itself unless a service does already."""
    strange = memo(_strange, claims, names)
    if not strange:
        return Outcome(())
    taken = {name for spelled in domains.values() for name in spelled}
    routes = _routes(claims, backends, names, memo)
    made = [
        memo(_virtual_host, host, (host,), None, tuple([routes[document] for document in claims.by_host[host]]))
        for host in strange
        if host not in taken
    ]
    speakers = ((document, host, names) for host in strange for document in claims.by_host[host])
    problems = [p for outcome in made for p in outcome.problems]
    return Outcome(
        tuple(outcome.value for outcome in made), (*problems, *memo.each(_means_no_service, speakers).values())
    )


def _strange(claims: Claims, names: Names) -> tuple[str, ...]:
    return tuple(claims.without_service(names))


def _speaks_http(service: Service) -> bool:
    return any(port.protocol.is_http or port.protocol is Protocol.AUTO for port in service.ports)


def _routes(
    claims: Claims, backends: Mapping[str, Backend], names: Names, memo: Memo
) -> dict[Document, Outcome[tuple[Bound, ...]]]:
    """The routes of every VirtualService that sidecars obey, remade only when a backend that it names is another."""
    wanted = memo.each(_destination_hosts, ((document, names) for document in claims.documents))
    calls = []
    for (document, _), hosts in wanted.items():
        found = tuple([backends.get(host) for host in hosts])
        calls.append((document, found, names if None in found else NO_NAMES))
    return {call[0]: outcome for call, outcome in memo.each(_bound, calls).items()}


def _destination_hosts(document: Document, names: Names) -> tuple[str, ...]:
    written = destination_names(_spec(document).http)
    return tuple(names.resolve(name, document.namespace) or "" for name in written)


def _bound(document: Document, backends: tuple[Backend | None, ...], names: Names) -> Routes:
    """`backends`: what the document's destination names mean, in order."""
    rules = _spec(document).http
    known = Known(dict(zip(destination_names(rules), backends, strict=True)), names)
    placed = [(rule, Place(document).at("http", index)) for index, rule in enumerate(rules)]
    routes = tuple(bound for rule, place in placed for bound in bound_routes(rule, place, known))
    return Outcome(routes, tuple(problem for rule, place in placed for problem in rule_problems(rule, place, known)))


def _virtual_host(
    host: str, domains: tuple[str, ...], backend: Backend | None, documents: tuple[Routes, ...]
) -> Outcome[VirtualHost]:
    """`documents`: the routes of each VirtualService for the host, in order of precedence."""
    kept, problems = _merged([outcome.value for outcome in documents])
    if backend is not None:
        problems += [problem for bound in kept for problem in _missing_ports(bound, backend.service)]
    return Outcome(VirtualHost(host, domains, backend, tuple(bound.route for bound in kept)), tuple(problems))


def _merged(documents: Iterable[Sequence[Bound]]) -> tuple[list[Bound], list[Problem]]:
    """Routes that some request can reach, catch-alls last; each other one is reported with what stands before it.

    A route behind the catch-all of its own document stays behind it: only whole documents change places.
    """
    reachable: list[Bound] = []
    problems: list[Problem] = []
    for routes in documents:
        end = next((i for i, bound in enumerate(routes) if bound.route.match.is_catch_all), len(routes))
        reachable += routes[: end + 1]
        problems += [_unreachable(bound, routes[end]) for bound in routes[end + 1 :]]
    earlier, kept = Earlier(), []
    for bound in sorted(reachable, key=lambda bound: bound.route.match.is_catch_all):
        wider = earlier.wider_than(bound)
        if wider is None:
            earlier.add(bound)
            kept.append(bound)
        else:
            problems.append(_unreachable(bound, wider))
    return kept, problems


def _unreachable(bound: Bound, wider: Bound) -> Problem:
    same = wider.place.document is bound.place.document
    where = wider.place.field if same else f"{wider.place.field} of {wider.place}"
    message = f"this route never matches: {where} comes first and takes all of its requests"
    return bound.place.warning("unreachable-route", message, "narrow that match, or remove this route")


def _missing_ports(bound: Bound, service: Service) -> list[Problem]:
    """A destination without port means the port that the request came in on, which it may not have (Istio's rule)."""
    return [
        problem
        for weighted in bound.route.destinations
        for problem in _missing_port(weighted.destination, bound, service)
    ]


def _missing_port(destination: Destination, bound: Bound, service: Service) -> list[Problem]:
    if destination.port is not None or destination.backend is None:
        return []
    ports = [port.number for port in service.ports if bound.route.match.port in {None, port.number}]
    missing = [str(number) for number in ports if destination.port_on(number) not in _port_numbers(destination.backend)]
    if not missing:
        return []
    message = f"{destination.host} has no port {', '.join(missing)}: requests that come in there are answered 503"
    known = ", ".join(str(number) for number in _port_numbers(destination.backend)) or "none"
    return [bound.place.warning("no-such-port", message, f"add port: {{number: ...}} to the destination: {known}")]


def _port_numbers(backend: Backend) -> Iterable[int]:
    return backend.service.port_by_number


def _means_no_service(document: Document, host: str, names: Names) -> Problem:
    index = next((i for i, name in enumerate(_spec(document).hosts) if normal(name) == host), 0)
    message = f"no service is called {host}: only plain HTTP requests on port 80 that name it meet these routes"
    fix = nearest(host, names.namespace_of, "a ServiceEntry for")
    return Place(document).at("hosts", index).warning("unknown-host", message, fix)


def _spec(document: Document) -> VirtualServiceSpec:
    return cast("VirtualServiceSpec", document.spec)
