"""What the meaning of policies depends on beside them: what the server was started with."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.mesh import Mesh


@dataclass(frozen=True, slots=True)
class Premises:
    """What every command must be told alike, so that it understands the same files in the same way.

    Attributes:
        root_namespace: whose policies hold for the whole mesh, unless a MeshConfig names another.
        default_namespace: of documents that name none.
        trust_domain: where workloads have identities; None when nobody has one.
    """

    root_namespace: str = Mesh.root_namespace
    default_namespace: str = "default"
    trust_domain: TrustDomain | None = None
