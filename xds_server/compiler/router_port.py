"""Where routers listen because of services of their own, and which servers of Gateways that brings onto one port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from xds_server.mesh.gateway import Gateway, Refusal, open_ports
from xds_server.mesh.service import Labels, Service, labels_match

Label = tuple[str, str]
Listens = tuple[tuple[int, tuple[int, ...]], ...]
"""(port of a Gateway, where the router listens for it)."""


def by_label(selectors: Iterable[Labels]) -> Mapping[Label, Sequence[Labels]]:
    """Selectors by each of their labels, so that `moving` need not ask of all of them."""
    found: dict[Label, list[Labels]] = {}
    for selector in dict.fromkeys(selectors):
        for label in selector:
            found.setdefault(label, []).append(selector)
    return found


def moving(service: Service, selectors: Mapping[Label, Sequence[Labels]]) -> tuple[Labels, ...]:
    """Those of the `selectors` whose routers listen elsewhere because they serve `service`."""
    if not service.moves_gateway_ports:
        return ()
    labels = dict.fromkeys(chain(service.selector, *(endpoint.labels for endpoint in service.endpoints)))
    near = dict.fromkeys(chain.from_iterable(selectors.get(label, ()) for label in labels))
    return tuple(selector for selector in near if listens(service, selector))


def listens(service: Service, selector: Labels) -> tuple[Listens, ...]:
    """Where routers with the labels of a Gateway's selector listen that serve `service`, each way once.

    Such a router is whom the service selects by a label that the selector names too, or an endpoint with all of them.
    """
    if not service.moves_gateway_ports or not selector:
        return ()
    return tuple(dict.fromkeys(way for way in _ways(service, selector) if way))


def _ways(service: Service, selector: Labels) -> Iterator[Listens]:
    if set(service.selector) & set(selector) and compatible(service.selector, selector):
        yield _moved((port.number, port.target_port or port.number) for port in service.ports)
    for endpoint in service.endpoints:
        if labels_match(selector, endpoint.labels):
            yield _moved((port.number, endpoint.port_for(port)) for port in service.ports)


def _moved(pairs: Iterable[tuple[int, int]]) -> Listens:
    return tuple((port, (where,)) for port, where in pairs if port != where)


def compatible(one: Labels, other: Labels) -> bool:
    """Whether one workload can carry the labels of both."""
    mine = dict(one)
    return all(mine.get(key, value) == value for key, value in other)


def brought_together(gateways: Iterable[Gateway], selector: Labels, service: Service) -> Iterator[Refusal]:
    """Servers that find no place on routers of `service`; `gateways` are those of routers with these labels."""
    there = list(gateways)
    for way in listens(service, selector):
        yield from open_ports(there, dict(way))[1]
