"""Services that take each other's connections: TCP on one port can be told apart by address only, and they have none.

Says so, where Istio silently lets one of them have everything. Which one gets it is what translation does: the first
by host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

from xds_server.compiler.export import PUBLIC
from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.table import Index, Table
from xds_server.mesh.service import Port, Protocol, Service
from xds_server.policy.document import Document
from xds_server.policy.service_entry import ServiceEntrySpec
from xds_server.problem import Problem

Key = tuple[str, str]
"""(host, namespace) of a service."""


class PortClashes:
    """Which services want the same port, kept up to date.

    Args:
        named: the service of that key; None when there is none.
        definition: the document that decides what a service is.
    """

    def __init__(self, named: Callable[[Key], Service | None], definition: Callable[[Service], Document]) -> None:
        self._named = named
        self._definition = definition
        self._by_port: Index[int, Key] = Index()
        self._clashes: Table[int, None] = Table()

    def update(self, keys: Iterable[Key]) -> None:
        """Take in that these services are others now."""
        ports = {port for key in keys for port in self._by_port.put(key, _wanted(self._named(key)))}
        self._clashes.remake(ports, self._clash)

    @property
    def problems(self) -> Iterator[Problem]:
        """What to say of services that get none of their connections."""
        return self._clashes.all_problems

    def _clash(self, number: int) -> Outcome[None] | None:
        found = [service for key in sorted(self._by_port.under(number)) if (service := self._named(key))]
        if len(found) < 2:
            return None
        first, *others = found
        lost = (s for s in others if s.port_by_number[number].protocol is not Protocol.AUTO and _meet(first, s))
        return Outcome(None, tuple(self._lost(service, number, first) for service in lost))

    def _lost(self, service: Service, number: int, winner: Service) -> Problem:
        document = self._definition(service)
        ports = cast("ServiceEntrySpec", document.spec).ports
        index = next((index for index, port in enumerate(ports) if port.number == number), 0)
        message = f"connections to port {number} go to {winner.host}: without addresses nothing tells the two apart"
        fix = "give each its own addresses, or another port; or let its callers take names from Envoy (DNS_CAPTURE)"
        return Place(document).at("ports", index).warning("tcp-port-clash", message, fix)


def _wanted(service: Service | None) -> list[int]:
    """Ports on which `service` takes whatever bytes come."""
    if service is None or service.addresses:
        return []
    return [port.number for port in service.ports if _takes_bytes(port)]


def _takes_bytes(port: Port) -> bool:
    return not (port.protocol.is_http or port.protocol.is_tls or port.protocol is Protocol.UDP)


def _meet(one: Service, other: Service) -> bool:
    """Whether some caller may see both; of two services with one host a caller sees one."""
    if one.host == other.host:
        return False
    return PUBLIC in {one.export_to, other.export_to} or bool(set(one.export_to) & set(other.export_to))
