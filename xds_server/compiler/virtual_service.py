"""What VirtualServices mean: which of them speak for a host, and the one list of routes they make together.

Several for one host are merged as Istio merges them at a gateway: in order of precedence, catch-alls last. On purpose
better than Istio's sidecars, which obey the oldest and drop the rest in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from xds_server.compiler.connection_route import (
    BoundConnection,
    bound_connections,
    connection_destination_names,
    connection_problems,
)
from xds_server.compiler.delegate import placed_rules
from xds_server.compiler.finding import Outcome, Place, nearest, neighbours
from xds_server.compiler.gateway_name import MESH, gateway_names
from xds_server.compiler.http_route import Bound, Known, bound_routes, destination_names, rule_problems
from xds_server.mesh.gateway import GatewayRoutes
from xds_server.mesh.host import Names, candidates, is_wildcard, normal
from xds_server.mesh.route import Backend, Destination, Match, Retry, Route, WeightedDestination
from xds_server.mesh.service import Protocol, Service
from xds_server.mesh.shadow import merged
from xds_server.mesh.virtual_host import Claim, VirtualHost
from xds_server.policy.document import Document
from xds_server.policy.virtual_service import VirtualServiceSpec
from xds_server.problem import Problem


@dataclass(frozen=True, slots=True)
class Rules:
    """All routes of one VirtualService: of requests and of whole connections, for sidecars and for gateways.

    Attributes:
        claim: what of them is for sidecars.
    """

    http: tuple[Bound, ...]
    connections: tuple[BoundConnection, ...]
    claim: Claim


Routes = Outcome[Rules]
"""The routes of one VirtualService, as one namespace sees them."""


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


def bound_gateways(document: Document) -> tuple[str, ...]:
    """The gateways, as "namespace/name", that some rule of a VirtualService is for."""
    spec = _spec(document)
    written = [*spec.gateways, *(name for rule in spec.http for match in rule.match for name in match.gateways)]
    written += [name for tls in spec.tls for tls_match in tls.match for name in tls_match.gateways]
    written += [name for tcp in spec.tcp for tcp_match in tcp.match for name in tcp_match.gateways]
    return tuple(name for name in gateway_names(written, document.namespace) if name != MESH)


def gateway_routes(document: Document, routes: Routes) -> Outcome[GatewayRoutes]:
    """The rules of a VirtualService as gateways take them."""
    return Outcome(
        GatewayRoutes(
            namespace=document.namespace,
            hosts=tuple(dict.fromkeys(normal(host) for host in _spec(document).hosts)),
            routes=tuple(bound.route for bound in routes.value.http),
            connections=tuple(bound.route for bound in routes.value.connections),
        )
    )


def host_candidates(document: Document) -> tuple[str, ...]:
    """The service hosts that `targets` and `destinations` may find."""
    spec = _spec(document)
    names = (*spec.hosts, *_destination_names(spec))
    return tuple(host for name in names for host in candidates(name, document.namespace))


def destinations(document: Document, names: Names) -> tuple[str, ...]:
    """The service host of each destination name, in the order that they are named; "" for one that is unknown."""
    written = _destination_names(_spec(document))
    return tuple(names.resolve(name, document.namespace) or "" for name in written)


def near_destinations(
    document: Document, backends: tuple[Backend | None, ...], known: tuple[str, ...]
) -> tuple[str, ...]:
    """Of the `known` hosts (sorted), those near the destination names that mean none of them."""
    named = zip(_destination_names(_spec(document)), backends, strict=True)
    lost = [normal(name) for name, backend in named if backend is None]
    return tuple(sorted({host for name in lost for host in neighbours(name, known)}))


def routes(
    document: Document,
    backends: tuple[Backend | None, ...],
    near: tuple[str, ...],
    retry: Retry | None = Retry(),
) -> Routes:
    """The routes of one VirtualService.

    Args:
        document: the VirtualService.
        backends: what `destinations` are, in order.
        near: known hosts to suggest for those that are unknown, see `near_destinations`.
        retry: of rules that say nothing of retries.
    """
    spec = _spec(document)
    named = dict(zip(_destination_names(spec), backends, strict=True))
    found = Known(named, near, gateway_names(spec.gateways, document.namespace), retry, document.namespace)
    placed = placed_rules(document)
    http = tuple(bound for rule, place in placed for bound in bound_routes(rule, place, found))
    problems = (problem for rule, place in placed for problem in rule_problems(rule, place, found))
    connections = tuple(bound_connections(document, found))
    claim = Claim(
        document.namespace,
        tuple(bound.route for bound in http if _is_on_mesh(bound)),
        tuple(bound.route for bound in connections if _is_on_mesh(bound)),
    )
    rules = Rules(http, connections, claim)
    return Outcome(rules, (*problems, *connection_problems(document, found)))


def _destination_names(spec: VirtualServiceSpec) -> tuple[str, ...]:
    """Every destination host that the rules name, each once, in order."""
    return tuple(dict.fromkeys((*destination_names(spec.http), *connection_destination_names(spec))))


def speaks_http(service: Service) -> bool:
    """Whether a service has a port that HTTP hosts are for."""
    return any(port.protocol.is_http or port.protocol is Protocol.AUTO for port in service.ports)


def virtual_host(
    backend: Backend,
    domains: tuple[str, ...],
    documents: tuple[Routes, ...],
    wider: tuple[tuple[Routes, ...], ...] = (),
    retry: Retry | None = Retry(),
) -> Outcome[VirtualHost]:
    """The host of a service.

    Args:
        backend: the service with its rules.
        domains: what it answers to.
        documents: the routes of each VirtualService for it, in order of precedence.
        wider: likewise of those that are for ever wider wildcards, and come into force where `documents` do not.
        retry: of a service that no VirtualService speaks of.
    """
    kept, problems = _merged([_on_mesh(outcome.value) for outcome in documents])
    problems += [problem for bound in kept for problem in _missing_ports(bound, backend.service)]
    problems += [problem for bound in kept for problem in _never_on_port(bound, backend.service)]
    connections = [bound for outcome in documents for bound in outcome.value.connections if _is_on_mesh(bound)]
    problems += _without_port(connections, backend.service)
    untold = _untold(backend, retry)
    routes = tuple(bound.route for bound in kept) or untold
    rules = tuple(bound.route for bound in connections)
    claims = _claims(documents, *wider)
    found = VirtualHost(backend.service.host, domains, backend, routes, rules, untold, claims)
    return Outcome(found, tuple(problems))


def _claims(*near: tuple[Routes, ...]) -> tuple[tuple[Claim, ...], ...]:
    return tuple(tuple(outcome.value.claim for outcome in documents) for documents in near if documents)


def _untold(backend: Backend, retry: Retry | None) -> tuple[Route, ...]:
    """What holds for a service that no VirtualService speaks of; () where that is Istio's default route."""
    if retry == Retry():
        return ()
    destination = WeightedDestination(Destination(backend.service.host, None, "", backend))
    return (Route(Match(), "default", (destination,), retry=retry),)


def routes_connections(documents: Iterable[Routes]) -> bool:
    """Whether some of these VirtualServices route whole connections."""
    return any(outcome.value.connections for outcome in documents)


def _on_mesh(rules: Rules) -> list[Bound]:
    return [bound for bound in rules.http if _is_on_mesh(bound)]


def _is_on_mesh(bound: Bound | BoundConnection) -> bool:
    return MESH in bound.route.match.gateways


def _without_port(connections: Iterable[BoundConnection], service: Service) -> list[Problem]:
    """TLS rules are for ports declared HTTPS or TLS, TCP rules for all others that are not HTTP (Istio's rule)."""
    kinds = {port.protocol.is_tls for port in service.stream_ports}
    return [
        bound.place.warning(
            "no-such-port",
            f"{service.host} has no port that this rule could be for, so it never matches",
            "tls rules need a port of protocol HTTPS or TLS, tcp rules one of protocol TCP",
        )
        for bound in connections
        if bound.route.tls not in kinds
    ]


def strange_host(
    host: str, documents: tuple[Document, ...], routes: tuple[Routes, ...], near: tuple[str, ...]
) -> Outcome[VirtualHost]:
    """A host that no service has, with the VirtualServices that speak of it; services have the hosts `near` it."""
    kept, problems = _merged([_on_mesh(outcome.value) for outcome in routes])
    strange = [_means_no_service(document, host, near) for document in documents]
    found = VirtualHost(host, (host,), None, tuple(bound.route for bound in kept), claims=_claims(routes))
    return Outcome(found, (*strange, *problems))


def _merged(documents: Iterable[Sequence[Bound]]) -> tuple[list[Bound], list[Problem]]:
    """Routes that some request can reach, catch-alls last; each other one is reported with what stands before it."""
    kept, hidden = merged(documents, lambda bound: bound.route.match)
    return kept, [_unreachable(bound, wider) for bound, wider in hidden]


def _unreachable(bound: Bound, wider: Bound) -> Problem:
    same = wider.place.document is bound.place.document
    where = wider.place.field if same else f"{wider.place.field} of {wider.place}"
    message = f"this route never matches: {where} comes first and takes all of its requests"
    if bound.place.document.namespace != wider.place.document.namespace:
        message += " (of all callers but those whose Sidecar leaves that one out)"
    return bound.place.warning("unreachable-route", message, "narrow that match, or remove this route")


def _never_on_port(bound: Bound, service: Service) -> list[Problem]:
    """A match for a port that the only host of its VirtualService lacks; at gateways it may be for a port of theirs."""
    match, hosts = bound.route.match, _spec(bound.place.document).hosts
    if match.port is None or match.port in service.port_by_number or match.gateways != (MESH,) or len(hosts) != 1:
        return []
    if is_wildcard(hosts[0]):
        return []
    known = ", ".join(map(str, service.port_by_number))
    message = f"{service.host} has no port {match.port}, so this never matches"
    return [bound.place.at("port").warning("no-such-port", message, f"write a port that it has ({known}), or none")]


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


def _means_no_service(document: Document, host: str, near: tuple[str, ...]) -> Problem:
    index = next((i for i, name in enumerate(_spec(document).hosts) if normal(name) == host), 0)
    message = f"no service is called {host}: only plain HTTP requests on port 80 that name it meet these routes"
    fix = nearest(host, near, "a ServiceEntry for")
    return Place(document).at("hosts", index).warning("unknown-host", message, fix)


def _spec(document: Document) -> VirtualServiceSpec:
    return cast("VirtualServiceSpec", document.spec)
