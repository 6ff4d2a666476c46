"""What the meaning of policies depends on beside them: what the server was started with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.mesh import Mesh


class Environment:
    """Variables of the process that policies may name; they may be secrets, so it shows none. Compared by identity."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def get(self, name: str) -> str | None:
        """One of them; None when it is not set."""
        return self._variables.get(name)


NO_ENVIRONMENT = Environment({})


@dataclass(frozen=True, slots=True)
class Premises:
    """What every command must be told alike, so that it understands the same files in the same way.

    Attributes:
        root_namespace: whose policies hold for the whole mesh, unless a MeshConfig names another.
        default_namespace: of documents that name none.
        trust_domain: where workloads have identities; None when nobody has one.
        environment: what MeshConfig's `envName` means.
    """

    root_namespace: str = Mesh.root_namespace
    default_namespace: str = "default"
    trust_domain: TrustDomain | None = None
    environment: Environment = NO_ENVIRONMENT
