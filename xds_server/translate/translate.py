"""A view to everything its proxy is sent: what is new is built, what was built before is remembered.

Cost follows what changed. Clusters, endpoints and virtual hosts are kept for as long as the mesh values that they were
made from, which the compiler keeps for as long as nothing about them changes; listeners are kept by their inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain

from xds_server.mesh.route import Backend
from xds_server.mesh.service import Locality, Resolution
from xds_server.mesh.view import View
from xds_server.translate.cluster import clusters, clusters_by_name, file_secrets, inbound_cluster, static_clusters
from xds_server.translate.endpoint import load_assignments, local_assignment
from xds_server.translate.file_secret import each_once
from xds_server.translate.gateway import GatewayTranslator
from xds_server.translate.inbound import own_security
from xds_server.translate.listener import ListenerTranslator, inbound_ports
from xds_server.translate.locality import Caller
from xds_server.translate.memory import Memory
from xds_server.translate.route_configuration import RouteTranslator
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

REMEMBERED = 4096
"""Inbound clusters kept, by port."""


class Translator:
    """View to resources, remembering. Not for two threads at once."""

    def __init__(self) -> None:
        self._callers: dict[Caller, Memory[Backend, _Translated]] = {}
        self._by_name: dict[Caller, Memory[Backend, _Translated]] = {}
        self._static_clusters = lru_cache(static_clusters)
        self._local_assignment = lru_cache(local_assignment)
        self._inbound_cluster = lru_cache(maxsize=REMEMBERED)(inbound_cluster)
        self._listeners = ListenerTranslator()
        self._routes = RouteTranslator()
        self._gateways = GatewayTranslator()

    def translate(self, view: View) -> tuple[Resource, ...]:
        """Every resource of `view`: clusters, endpoints, listeners, routes, secrets of files.

        All references resolve among them, but for those to the proxy's own secrets.
        """
        stat_name, keeps_case = view.settings.inbound_stat_name, view.settings.headers.keeps_case
        caller = _caller(view)
        backends = self._memory(caller).each(view.backends)
        by_name = self._passed_on(view, caller)
        found_clusters = [
            *self._static_clusters(view.interception, view.outbound_policy, keeps_case=keeps_case),
            *(
                self._inbound_cluster(port, view.interception, stat_name, keeps_case=keeps_case)
                for port in inbound_ports(view)
                if not port.passed_on
            ),
            *chain.from_iterable([each.clusters for each in (*backends, *by_name)]),
        ]
        endpoints = list(chain.from_iterable([each.endpoints for each in backends]))
        if by_name:
            known = {assignment.name for assignment in endpoints}
            endpoints += [found for each in by_name for found in each.endpoints if found.name not in known]
        if view.compares_zones:
            endpoints.append(self._local_assignment(view.own_service, view.locality.region))
        cluster_names = frozenset([cluster.name for cluster in found_clusters])
        secrets = each_once(chain.from_iterable([each.secrets for each in backends]))
        if view.router is not None:
            opened = self._gateways.translate(view, cluster_names)
            own = [resource for resource in opened if resource.type_url == type_url.SECRET]
            others = (resource for resource in opened if resource.type_url != type_url.SECRET)
            return (*found_clusters, *endpoints, *others, *each_once((*secrets, *own)))
        listeners = self._listeners.listeners(view)
        wanted = {name for listener in listeners for url, name in listener.refs if url == type_url.ROUTE}
        routes = self._routes.route_configurations(view, wanted, cluster_names)
        ending = (own_security(port, view.settings) for port in view.inbound if port.tls)
        shown = (secret for security in ending if security for secret in security.secrets)
        return (*found_clusters, *endpoints, *listeners, *routes, *each_once((*secrets, *shown)))

    def _passed_on(self, view: View, caller: Caller) -> Sequence[_Translated]:
        """The services that a router passes mesh TLS on to, under the names that callers ask for."""
        if view.router is None or not view.router.by_name:
            return ()
        if caller not in self._by_name:
            self._by_name[caller] = Memory(
                lambda backend: _Translated(clusters_by_name(backend, caller), load_assignments(backend, caller), ())
            )
        return self._by_name[caller].each(view.router.by_name)

    def _memory(self, caller: Caller) -> Memory[Backend, _Translated]:
        if caller not in self._callers:
            anybody = replace(caller, locality=Locality(), labels=())
            self._callers[caller] = Memory(lambda backend: self._make(backend, caller, anybody))
        return self._callers[caller]

    def _make(self, backend: Backend, caller: Caller, anybody: Caller) -> _Translated:
        """Only clusters that look names up hold endpoints, and so depend on who calls; others are `anybody`'s."""
        if caller == anybody or backend.service.resolution in _HOLDS_ENDPOINTS:
            found = load_assignments(backend, caller)
            return _Translated(clusters(backend, caller), found, file_secrets(backend, caller))
        shared = self._memory(anybody).one(backend)
        return _Translated(shared.clusters, load_assignments(backend, caller), shared.secrets)


def _caller(view: View) -> Caller:
    return Caller(
        locality=view.locality,
        labels=view.labels,
        trust_domain=view.trust_domain,
        credentials=view.credentials,
        settings=view.settings,
        compares_zones=view.compares_zones,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Translated:
    """What one service with its traffic rule became. By identity."""

    clusters: tuple[Resource, ...]
    endpoints: tuple[Resource, ...]
    secrets: tuple[Resource, ...]


_HOLDS_ENDPOINTS = frozenset({Resolution.DNS, Resolution.DNS_ROUND_ROBIN})
