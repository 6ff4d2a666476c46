"""Which services a workload may serve, found without walking the mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from xds_server.mesh.service import Service

Clue = str | tuple[str, str] | tuple[str, tuple[str, str]]
"""What may tell that a workload serves a service: an address of an endpoint, loopback aside; the (namespace, name) of
the WorkloadEntry behind one; or (namespace, pair of labels), of a selector its first pair."""


@dataclass(frozen=True, eq=False, slots=True)
class ServiceIndex:
    """Services by each of their clues."""

    _by_clue: Mapping[Clue, tuple[Service, ...]] = field(default_factory=dict)

    def found(self, clues: Iterable[Clue]) -> set[Service]:
        """Services that have one of `clues`."""
        return {service for clue in clues for service in self._by_clue.get(clue, ())}

    def updated(self, gone: Iterable[Service], new: Iterable[Service]) -> ServiceIndex:
        """The index without `gone` and with `new`. This one stays as it is: the mesh before may still be asked."""
        by_clue = dict(self._by_clue)
        for service in gone:
            for clue in _clues(service):
                by_clue[clue] = tuple(each for each in by_clue[clue] if each is not service)
                if not by_clue[clue]:
                    del by_clue[clue]
        for service in new:
            for clue in _clues(service):
                by_clue[clue] = (*by_clue.get(clue, ()), service)
        return ServiceIndex(by_clue)


def _clues(service: Service) -> Iterable[Clue]:
    yield from service.endpoint_by_workload
    yield from service.endpoint_by_address
    if service.selector:
        yield service.namespace, service.selector[0]
