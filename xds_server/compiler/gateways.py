"""Every Gateway, kept up to date, and what VirtualServices that name one should know about it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import cast

from xds_server.compiler.connection_route import placed_connection_rules
from xds_server.compiler.delegate import placed_rules
from xds_server.compiler.finding import Outcome, Place, nearest
from xds_server.compiler.gateway import gateway, gateway_problems
from xds_server.compiler.gateway_name import MESH, gateway_names
from xds_server.compiler.router_port import by_label, moving
from xds_server.compiler.services import Services
from xds_server.compiler.table import Diff, Table
from xds_server.compiler.virtual_service import bound_gateways
from xds_server.memo import Memo
from xds_server.mesh.gateway import Gateway, narrower
from xds_server.mesh.host import normal
from xds_server.mesh.service import Labels, Service
from xds_server.policy.document import Document, precedence
from xds_server.policy.l4_match import L4MatchAttributes, TLSMatchAttributes
from xds_server.policy.virtual_service import HTTPMatchRequest, HTTPRoute, TCPRoute, TLSRoute, VirtualServiceSpec
from xds_server.problem import Problem


class Gateways:
    """Every Gateway.

    Attributes:
        in_order: all of them, by precedence.
    """

    def __init__(self, memo: Memo, services: Services) -> None:
        self.in_order: tuple[Gateway, ...] = ()
        self._memo = memo
        self._services = services
        self._gateways: Table[Document, Gateway] = Table()
        self._bindings: Table[Document, None] = Table()
        self._own: dict[str, tuple[tuple[Service, Labels], ...]] = {}
        self._conflicts: list[Problem] = []
        self._credentials: frozenset[str] | None = None

    def update(
        self,
        gateways: Diff,
        virtual_services: Diff,
        credentials: frozenset[str] | None,
        hosts: Collection[str] = (),
    ) -> None:
        """Take in what changed.

        Args:
            gateways: documents that came and went.
            virtual_services: likewise.
            credentials: the names in the secrets directory; None when there is no such directory.
            hosts: whose services are others.
        """
        self._gateways.remake(gateways.removed, lambda _: None)
        changed = self._gateways.remake(gateways.added, lambda document: self._memo(gateway, document))
        others = bool(changed or gateways.removed)
        if others:
            self.in_order = tuple(self._gateways.rows[document].value for document in self._documents())
        if self._find_own(None if others else hosts) or others or credentials != self._credentials:
            self._credentials = credentials
            own = chain.from_iterable(found for _, found in sorted(self._own.items()))
            self._conflicts = gateway_problems(zip(self._documents(), self.in_order, strict=True), credentials, own)
        self._bindings.remake(virtual_services.removed, lambda _: None)
        stale = set(self._bindings.rows) if changed or gateways.removed else set()
        known = {f"{each.namespace}/{each.name}": each for each in self.in_order}
        self._bindings.remake(stale | virtual_services.added, lambda document: _binding(document, known))

    def _documents(self) -> list[Document]:
        return sorted(self._gateways.rows, key=precedence)

    def _find_own(self, hosts: Collection[str] | None) -> bool:
        """Find services that routers are part of, among those of `hosts`, None for all.

        Says whether they are others than before.
        """
        before = self._own
        if hosts is None:
            hosts = {*before, *(service.host for service in self._services.in_order)} if self.in_order else set(before)
        selectors = by_label(gateway.selector for gateway in self.in_order)
        found = {
            host: tuple((s, selector) for s in self._services.named(host) for selector in moving(s, selectors))
            for host in hosts
        }
        self._own = {host: each for host, each in {**before, **found}.items() if each}
        return self._own != before

    @property
    def problems(self) -> Iterator[Problem]:
        """Of Gateways, of them beside each other, and of what names them."""
        return chain(self._gateways.all_problems, self._conflicts, self._bindings.all_problems)


def _binding(document: Document, known: dict[str, Gateway]) -> Outcome[None] | None:
    """What a VirtualService should know of the gateways that it names; nothing when it names none."""
    if not bound_gateways(document):
        return None
    spec = cast("VirtualServiceSpec", document.spec)
    problems = list(_never_on_port(document, known))
    for index, written in enumerate(spec.gateways):
        if written == MESH:
            continue
        (name,) = gateway_names([written], document.namespace)
        place = Place(document).at("gateways", index)
        if name in known:
            problems += _shut_out(spec.hosts, known[name], place)
        else:
            fix = nearest(name, sorted(known), "a Gateway")
            problems.append(
                place.warning("unknown-gateway", f"there is no Gateway {name}: nothing comes in by it", fix)
            )
    return Outcome(None, tuple(problems))


def _never_on_port(document: Document, known: Mapping[str, Gateway]) -> Iterator[Problem]:
    """Matches for a port that no server has of the gateways, all of them known, that they are for."""
    written = cast("VirtualServiceSpec", document.spec).gateways
    rules: Iterable[tuple[HTTPRoute | TLSRoute | TCPRoute, Place]]
    rules = chain(placed_rules(document), placed_connection_rules(document))
    for rule, place in rules:
        matches: tuple[HTTPMatchRequest | TLSMatchAttributes | L4MatchAttributes, ...] = rule.match
        for index, match in enumerate(matches):
            named = gateway_names(match.gateways or written, document.namespace)
            ports = {server.port.number for name in named if name in known for server in known[name].servers}
            if match.port is not None and match.port not in ports and all(name in known for name in named):
                message = f"no server of {' or '.join(named)} has port {match.port}, so this never matches"
                fix = f"write a port that one has ({', '.join(map(str, sorted(ports)))}), or none"
                yield place.at("match", index, "port").warning("no-such-port", message, fix)


def _shut_out(hosts: Sequence[str], known: Gateway, place: Place) -> list[Problem]:
    """Hosts that no server of the gateway lets in, for which the rules are without effect there."""
    allowed = [host for server in known.servers for host in server.hosts_for(place.document.namespace)]
    lost = [host for host in hosts if not any(narrower(normal(host), each) for each in allowed)]
    if len(lost) < len(hosts):
        return []
    message = f"no server of {known.origin} is for {' or '.join(lost)}: these rules do nothing there"
    return [place.warning("host-not-in-gateway", message, "add the host to the Gateway's servers")]
