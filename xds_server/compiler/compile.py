"""From policies to the mesh that they mean: a table of contents of this package."""

from __future__ import annotations

from collections.abc import Iterable

from xds_server.compiler.scope import Inputs, scopes
from xds_server.compiler.service_entry import services
from xds_server.compiler.sidecar import sidecars
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.policy.document import Document, PolicySet
from xds_server.problem import Problem


def compile_mesh(
    policies: PolicySet, memo: Memo, *, root_namespace: str = Mesh.root_namespace
) -> tuple[Mesh, tuple[Problem, ...]]:
    """The mesh that `policies` mean, and what their authors should know about it; `policies.problems` not repeated.

    Objects whose inputs did not change since the last call with the same `memo` are the same objects again. The owner
    of the memo sweeps it when all that belongs to one generation has been asked for.
    """
    documents = _by_kind(policies.documents)
    found = services(documents["ServiceEntry"], documents["WorkloadEntry"], memo)
    inputs = Inputs(
        services=found.value,
        destination_rules=documents["DestinationRule"],
        virtual_services=documents["VirtualService"],
        entries=documents["ServiceEntry"],
        root_namespace=root_namespace,
    )
    seen = scopes({document.namespace for document in policies.documents}, inputs, memo)
    selected = sidecars(documents["Sidecar"], memo)
    mesh = Mesh(
        services=found.value,
        scopes=seen.value.by_namespace,
        default_scope=seen.value.default,
        sidecars=selected.value,
        root_namespace=root_namespace,
    )
    return mesh, tuple(sorted({*found.problems, *seen.problems, *selected.problems}))


def _by_kind(documents: Iterable[Document]) -> dict[str, tuple[Document, ...]]:
    found: dict[str, list[Document]] = {kind: [] for kind in KINDS}
    for document in documents:
        if document.kind in found:
            found[document.kind].append(document)
    return {kind: tuple(members) for kind, members in found.items()}


KINDS = ("ServiceEntry", "WorkloadEntry", "DestinationRule", "VirtualService", "Sidecar")
"""The kinds that are compiled."""
