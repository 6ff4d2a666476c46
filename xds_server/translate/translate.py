"""A view to everything its proxy is sent: what is new is built, what was built before is remembered.

Cost follows what changed. Clusters, endpoints and virtual hosts are kept for as long as the mesh values that they were
made from, which the compiler keeps for as long as nothing about them changes; listeners are kept by their inputs.
"""

from __future__ import annotations

from functools import lru_cache
from weakref import WeakKeyDictionary

from xds_server.mesh.route import Backend
from xds_server.mesh.service import Resolution
from xds_server.mesh.view import View
from xds_server.translate.cluster import clusters, inbound_cluster, static_clusters
from xds_server.translate.endpoint import load_assignments
from xds_server.translate.listener import ListenerTranslator, inbound_ports
from xds_server.translate.locality import Caller
from xds_server.translate.route_configuration import RouteTranslator
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

REMEMBERED = 4096
"""Inbound clusters kept, by port."""
_ANYBODY = Caller()


class Translator:
    """View to resources, remembering. Not for two threads at once."""

    def __init__(self) -> None:
        self._clusters: WeakKeyDictionary[Backend, dict[Caller, tuple[Resource, ...]]] = WeakKeyDictionary()
        self._endpoints: WeakKeyDictionary[Backend, dict[Caller, tuple[Resource, ...]]] = WeakKeyDictionary()
        self._static_clusters = lru_cache(static_clusters)
        self._inbound_cluster = lru_cache(maxsize=REMEMBERED)(inbound_cluster)
        self._listeners = ListenerTranslator()
        self._routes = RouteTranslator()

    def translate(self, view: View) -> tuple[Resource, ...]:
        """Every resource of `view`: clusters, endpoints, listeners, routes. All references resolve among them."""
        caller = Caller(view.locality)
        found_clusters = (
            *self._static_clusters(view.interception, view.outbound_policy),
            *(self._inbound_cluster(port, view.interception) for port in inbound_ports(view)),
            *(cluster for backend in view.backends for cluster in self._clusters_of(backend, caller)),
        )
        endpoints = (found for backend in view.backends for found in self._endpoints_of(backend, caller))
        listeners = self._listeners.listeners(view)
        wanted = {name for listener in listeners for url, name in listener.refs if url == type_url.ROUTE}
        routes = self._routes.route_configurations(view, wanted, {cluster.name for cluster in found_clusters})
        return (*found_clusters, *endpoints, *listeners, *routes)

    def _clusters_of(self, backend: Backend, caller: Caller) -> tuple[Resource, ...]:
        """Only clusters that look names up hold endpoints, and so depend on who calls."""
        who = caller if backend.service.resolution in _HOLDS_ENDPOINTS else _ANYBODY
        kept = self._clusters.setdefault(backend, {})
        if who not in kept:
            kept[who] = clusters(backend, who)
        return kept[who]

    def _endpoints_of(self, backend: Backend, caller: Caller) -> tuple[Resource, ...]:
        kept = self._endpoints.setdefault(backend, {})
        if caller not in kept:
            kept[caller] = load_assignments(backend, caller)
        return kept[caller]


_HOLDS_ENDPOINTS = frozenset({Resolution.DNS, Resolution.DNS_ROUND_ROBIN})
