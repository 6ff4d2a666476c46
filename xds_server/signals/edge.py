"""Who called whom, as one proxy tells it: what the numbers of this package are kept by."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from xds_server.mesh.workload import Workload
from xds_server.signals.stat import Called, Served

UNKNOWN = "unknown"
"""Who called, where only the proxy of who was called tells of it (Istio's word)."""
OTHER = "other"
"""Stands for everybody in what is counted together because there are too many."""
_SERVICE_LABELS = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
_VERSION_LABELS = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")


class Side(enum.StrEnum):
    """Whose proxy tells of a call (Istio's label `reporter`)."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """Calls from one service to another.

    Attributes:
        version: the subset that the caller chose, or the version of the workload that was called; "" for neither.
    """

    side: Side
    source: str
    source_namespace: str
    destination: str
    version: str = ""

    @property
    def overflow(self) -> Edge:
        """What stands for it when there are too many."""
        return Edge(self.side, OTHER, OTHER, OTHER, OTHER)


@dataclass(frozen=True, slots=True, order=True)
class Teller:
    """Whose proxy tells, as far as policies tell workloads apart: what they are selected by when numbers are shown.

    Attributes:
        keys: the labels by which policies do, sorted.
        labels: those of them that the workload has, sorted.
    """

    namespace: str = ""
    keys: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


Told: TypeAlias = tuple[Edge, Teller]
"""Calls from one service to another, as workloads tell of them that are one to every policy."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """A proxy that tells of its traffic.

    Attributes:
        service: Istio's canonical service of the workload.
        hosts: (port of the workload, the service that it belongs to).
    """

    service: str
    namespace: str
    version: str = ""
    hosts: tuple[tuple[int, str], ...] = ()
    teller: Teller = Teller()

    def edge(self, of: Called | Served) -> Edge:
        """The calls that a statistic of this proxy is about."""
        if isinstance(of, Called):
            return Edge(Side.SOURCE, self.service, self.namespace, of.service, of.subset)
        host = dict(self.hosts).get(of.port, self.service)
        return Edge(Side.DESTINATION, UNKNOWN, UNKNOWN, host, self.version)

    def told(self, told: Told) -> bool:
        """Whether a proxy like this one may have told of it, before policies told workloads apart as they do now."""
        edge, teller = told
        if teller.namespace != self.teller.namespace:
            return False
        if edge.side is Side.SOURCE:
            return edge.source == self.service
        return edge.version == self.version and edge.destination in {self.service, *dict(self.hosts).values()}


def reporter(workload: Workload, hosts: Mapping[int, str], teller: Teller) -> Reporter:
    """The proxy of `workload`; `hosts` are the services of its ports."""
    return Reporter(
        service=_first(workload, _SERVICE_LABELS) or workload.name,
        namespace=workload.namespace,
        version=_first(workload, _VERSION_LABELS),
        hosts=tuple(sorted(hosts.items())),
        teller=teller,
    )


def _first(workload: Workload, keys: tuple[str, ...]) -> str:
    labels = dict(workload.labels)
    return next((labels[key] for key in keys if labels.get(key)), "")
