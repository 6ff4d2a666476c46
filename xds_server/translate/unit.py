"""What can be validated by itself: a cluster with its endpoints, a listener, one virtual host.

A snapshot of a thousand services has thousands of these, and an edit makes two or three of them new.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from xds_server.problem import Origin
from xds_server.xds import type_url
from xds_server.xds.resource import Resource


class UnitKind(enum.StrEnum):
    """What a unit is, as people call it."""

    CLUSTER = "cluster"
    LISTENER = "listener"
    VIRTUAL_HOST = "virtual host"


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of a snapshot.

    Attributes:
        version: of its content: what was valid once is valid under the same version.
        body: the encoded message; of a virtual host, its whole field in a RouteConfiguration.
        endpoints: a cluster's encoded ClusterLoadAssignment, where it comes by EDS.
        needs: clusters without which a listener is refused; they were judged by themselves.
        group: units of one group may stand in one RouteConfiguration: their domains are distinct.
        origins: the documents that it was made from, those first that have most to do with it.
    """

    kind: UnitKind
    name: str
    version: str
    body: bytes
    endpoints: bytes | None = None
    needs: tuple[str, ...] = ()
    group: str = ""
    origins: tuple[Origin, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def units(resources: Mapping[str, Mapping[str, Resource]], known: Container[str] = frozenset()) -> Iterator[Unit]:
    """The units of some resources, given by type and name; without those whose version is in `known`."""
    yield from _clusters(resources, known)
    for resource in resources.get(type_url.LISTENER, {}).values():
        if resource.version not in known:
            kind, needs = UnitKind.LISTENER, tuple(name for url, name in resource.refs if url == type_url.CLUSTER)
            yield Unit(kind, resource.name, resource.version, resource.body, needs=needs, origins=resource.origins)
    for resource in resources.get(type_url.ROUTE, {}).values():
        for part in resource.parts:
            if part.version not in known:
                kind, origins = UnitKind.VIRTUAL_HOST, (*part.origins, *part.service_origins)
                yield Unit(kind, part.name, part.version, part.field, group=resource.version, origins=origins)


def _clusters(resources: Mapping[str, Mapping[str, Resource]], known: Container[str]) -> Iterator[Unit]:
    assignments = resources.get(type_url.ENDPOINT, {})
    for resource in resources.get(type_url.CLUSTER, {}).values():
        found = next((assignments[name] for url, name in resource.refs if url == type_url.ENDPOINT), None)
        version = resource.version + found.version if found else resource.version
        if version not in known:
            endpoints = found.body if found else None
            yield Unit(UnitKind.CLUSTER, resource.name, version, resource.body, endpoints, origins=resource.origins)
