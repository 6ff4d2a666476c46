"""Workloads that stand for all others: what they see together is everything that anybody may be sent.

For whoever must look at a whole mesh, though nobody may be connected: one for each namespace that sees something of its
own, for each set of labels that a route asks its caller for, for each Sidecar, for each Telemetry, and for the routers
of each Gateway.
"""

from __future__ import annotations

from collections.abc import Iterator

from xds_server.mesh.mesh import Mesh, Scope
from xds_server.mesh.route import Backend
from xds_server.mesh.service import Labels
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.mesh.workload import NodeType, Workload

_NAME = "representative"


def representatives(mesh: Mesh) -> tuple[Workload, ...]:
    """They come in order of namespace, Sidecars' and then Gateways' last; equal ones once."""
    beside = (*_of_sidecars(mesh), *_of_rules(mesh), *_of_telemetries(mesh), *_of_gateways(mesh))
    return tuple(dict.fromkeys((*_of_scopes(mesh), *beside)))


def _of_scopes(mesh: Mesh) -> Iterator[Workload]:
    seen: set[Backend | VirtualHost] = set()
    for namespace, scope in sorted(mesh.scopes.items()):
        shown: set[Backend | VirtualHost] = {*scope.all_backends, *scope.virtual_hosts}
        if scope.asks_namespace or not shown <= seen:
            for labels in _asked_for(scope, seen):
                yield Workload(_NAME, namespace, labels)
            seen |= shown


def _asked_for(scope: Scope, seen: set[Backend | VirtualHost]) -> Iterator[Labels]:
    """No labels, and each set that a route of a host not seen yet wants of its caller."""
    yield ()
    for host in scope.virtual_hosts:
        if host.source_keys and (scope.asks_namespace or host not in seen):
            yield from (route.match.source_labels for route in host.routes if route.match.source_labels)


def _of_sidecars(mesh: Mesh) -> Iterator[Workload]:
    for sidecar in mesh.sidecars:
        yield Workload(_NAME, sidecar.namespace, sidecar.selector)


def _of_rules(mesh: Mesh) -> Iterator[Workload]:
    for rule in mesh.selective:
        yield Workload(_NAME, rule.namespace, rule.selector)


def _of_telemetries(mesh: Mesh) -> Iterator[Workload]:
    """One for what the whole mesh tells, and one for each policy that says something else."""
    if mesh.telemetry.tells:
        yield Workload(_NAME, mesh.root_namespace)
    for policy in mesh.telemetry.policies:
        yield Workload(_NAME, policy.namespace or mesh.root_namespace, policy.selector)


def _of_gateways(mesh: Mesh) -> Iterator[Workload]:
    for gateway in mesh.gateways:
        yield Workload(_NAME, gateway.namespace, gateway.selector, node_type=NodeType.ROUTER)
