"""What a VirtualService's tls and tcp rules mean: where whole connections go.

Each match of a rule becomes a ConnectionRoute. Conditions on the caller and the port stay on it: they are decided per
proxy, like those of HTTP routes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from xds_server.compiler.finding import Place
from xds_server.compiler.gateway_name import gateway_names
from xds_server.compiler.http_route import Known, destination, unknown_destination
from xds_server.compiler.workload_entry import sorted_labels
from xds_server.ip_address import is_ip_address
from xds_server.mesh.host import normal
from xds_server.mesh.route import ConnectionMatch, ConnectionRoute, WeightedDestination
from xds_server.policy.document import Document
from xds_server.policy.l4_match import L4MatchAttributes, TLSMatchAttributes
from xds_server.policy.values import is_whole_wildcard
from xds_server.policy.virtual_service import RouteDestination, TCPRoute, TLSRoute, VirtualServiceSpec
from xds_server.problem import Problem

_Rule = TLSRoute | TCPRoute
_WrittenMatch = TLSMatchAttributes | L4MatchAttributes


@dataclass(frozen=True, slots=True)
class BoundConnection:
    """A connection route with the place it comes from."""

    route: ConnectionRoute
    place: Place


def connection_destination_names(spec: VirtualServiceSpec) -> tuple[str, ...]:
    """Every destination host that the tls and tcp rules name, in order."""
    routes = (*(rule.route for rule in spec.tls), *(rule.route for rule in spec.tcp))
    return tuple(destined.destination.host for each in routes for destined in each)


def placed_connection_rules(document: Document) -> Iterator[tuple[TLSRoute | TCPRoute, Place]]:
    """The tls and tcp rules of a VirtualService, each with where it is written."""
    spec = cast("VirtualServiceSpec", document.spec)
    yield from ((rule, Place(document).at("tls", index)) for index, rule in enumerate(spec.tls))
    yield from ((rule, Place(document).at("tcp", index)) for index, rule in enumerate(spec.tcp))


def bound_connections(document: Document, known: Known) -> Iterator[BoundConnection]:
    """The routes of all tls and tcp rules, one for each match."""
    for rule, place in placed_connection_rules(document):
        for written, here in _placed_matches(rule, place):
            if isinstance(written, TLSMatchAttributes) and not any(map(is_whole_wildcard, written.sni_hosts)):
                continue  # without names it would take every connection
            route = ConnectionRoute(
                tls=isinstance(rule, TLSRoute),
                match=_match(written, document, known),
                destinations=_weighted(rule.route, known),
                origin=document.origin,
                namespace=document.namespace,
            )
            yield BoundConnection(route, here)


def connection_problems(document: Document, known: Known) -> Iterator[Problem]:
    """Everything about tls and tcp rules that files alone show to be other than their author meant."""
    for rule, place in placed_connection_rules(document):
        for index, route in enumerate(rule.route):
            yield from unknown_destination(route.destination, place.at("route", index, "destination"), known)
        for index, written in enumerate(rule.match):
            if isinstance(written, TLSMatchAttributes):
                yield from _odd_names(written, place.at("match", index))
    yield from _unreachable(document)


def _placed_matches(rule: _Rule, place: Place) -> list[tuple[_WrittenMatch | None, Place]]:
    """The matches of a rule; a rule without one takes everything."""
    matches: tuple[_WrittenMatch, ...] = rule.match
    return [(match, place.at("match", index)) for index, match in enumerate(matches)] or [(None, place)]


def _match(written: _WrittenMatch | None, document: Document, known: Known) -> ConnectionMatch:
    if written is None:
        return ConnectionMatch(gateways=known.gateways)
    return ConnectionMatch(
        server_names=_server_names(written) if isinstance(written, TLSMatchAttributes) else (),
        subnets=tuple(dict.fromkeys(_network(subnet) for subnet in written.destination_subnets)),
        port=written.port,
        source_labels=sorted_labels(written.source_labels),
        source_namespace=written.source_namespace or "",
        gateways=gateway_names(written.gateways, document.namespace) if written.gateways else known.gateways,
    )


def _server_names(written: TLSMatchAttributes) -> tuple[str, ...]:
    """The names as Envoy compares them; () for every name."""
    names = tuple(dict.fromkeys(normal(name) for name in written.sni_hosts))
    return () if "*" in names else tuple(name for name in names if is_whole_wildcard(name))


def _odd_names(written: TLSMatchAttributes, place: Place) -> Iterator[Problem]:
    for index, name in enumerate(written.sni_hosts):
        if not is_whole_wildcard(name):
            message = f"Envoy compares whole labels only, so no connection is {name}"
            yield place.at("sniHosts", index).warning("partial-wildcard", message, "write *. and whole labels")
        if is_ip_address(name):
            message = "a server name is no address (RFC 6066), so hardly any client asks for it"
            yield place.at("sniHosts", index).warning("address-as-name", message, "write the name, or tcp rules")


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


def _weighted(routes: tuple[RouteDestination, ...], known: Known) -> tuple[WeightedDestination, ...]:
    """The destinations that get connections: of several, those with a weight."""
    several = len(routes) > 1
    return tuple(
        WeightedDestination(destination(route.destination, known), route.weight)
        for route in routes
        if route.weight or not several
    )


def _unreachable(document: Document) -> Iterator[Problem]:
    """TCP rules behind one that takes every connection."""
    rules = cast("VirtualServiceSpec", document.spec).tcp
    end = next((i for i, rule in enumerate(rules) if _takes_all(rule)), len(rules))
    for index in range(end + 1, len(rules)):
        message = f"this route never matches: spec.tcp[{end}] comes first and takes all connections"
        fix = "narrow that match, or remove this route"
        yield Place(document).at("tcp", index).warning("unreachable-route", message, fix)


def _takes_all(rule: TCPRoute) -> bool:
    return not rule.match or any(match == L4MatchAttributes() for match in rule.match)
