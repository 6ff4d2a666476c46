"""The whole mesh as the policies mean it: the only thing the compiler returns besides problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xds_server.mesh.route import Backend, VirtualHost
from xds_server.mesh.service import Service
from xds_server.mesh.sidecar import OutboundPolicy, Sidecar


@dataclass(frozen=True, eq=False)
class Scope:
    """What one namespace sees before any Sidecar narrows it: every host once, with the rules in force there.

    Attributes:
        backends: by service host, sorted by host.
        virtual_hosts: sorted by host; HTTP names, those of no service included.
    """

    namespace: str
    backends: Mapping[str, Backend] = field(default_factory=dict)
    virtual_hosts: tuple[VirtualHost, ...] = ()


@dataclass(frozen=True, eq=False)
class Mesh:
    """Everything above, indexed.

    Attributes:
        services: every service, visible or not, sorted by (host, namespace).
        scopes: by namespace, for every namespace that holds documents.
        default_scope: for workloads of any other namespace: what everybody may see.
        sidecars: in order of precedence within a namespace: with a selector first, then oldest.
    """

    services: tuple[Service, ...] = ()
    scopes: Mapping[str, Scope] = field(default_factory=dict)
    default_scope: Scope = field(default_factory=lambda: Scope(""))
    sidecars: tuple[Sidecar, ...] = ()
    root_namespace: str = "default"
    outbound_policy: OutboundPolicy = OutboundPolicy.ALLOW_ANY

    def scope(self, namespace: str) -> Scope:
        """The scope a workload of `namespace` starts from."""
        return self.scopes.get(namespace, self.default_scope)
