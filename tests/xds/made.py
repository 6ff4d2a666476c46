"""Resources, sets and snapshots in one line each."""

from __future__ import annotations

from xds_server.xds.resource import Resource
from xds_server.xds.resource_set import ResourceSet
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import CLUSTER, ENDPOINT, LISTENER, ROUTE

REFERS_TO = {CLUSTER: ENDPOINT, LISTENER: ROUTE, ROUTE: CLUSTER}


def resource(url: str, name: str, version: str = "1", *refs: str) -> Resource:
    """A resource that refers to `refs` of the type its own type usually refers to."""
    targets = tuple((REFERS_TO[url], ref) for ref in refs)
    return Resource(url, name, version, f"{name}@{version}".encode(), targets)


def clusters(**versions: str) -> ResourceSet:
    """A set of clusters, name to version."""
    return ResourceSet({name: resource(CLUSTER, name, versions[name]) for name in sorted(versions)})


def snapshot(*resources: Resource) -> Snapshot:
    """A snapshot of them."""
    return Snapshot.of(resources)
