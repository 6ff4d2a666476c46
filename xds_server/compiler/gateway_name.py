"""Which gateway a VirtualService means by a name."""

from __future__ import annotations

from collections.abc import Iterable

MESH = "mesh"
"""The gateway that stands for all sidecars."""


def gateway_names(written: Iterable[str], namespace: str) -> tuple[str, ...]:
    """The gateways that these names mean in a document of `namespace`, each as "namespace/name" or MESH.

    Istio's forms: `name`, `namespace/name`, `./name`, and the old `name.namespace` with or without a domain behind it.
    """
    return tuple(dict.fromkeys(_gateway_name(name, namespace) for name in written)) or (MESH,)


def _gateway_name(written: str, namespace: str) -> str:
    where, slash, name = written.partition("/")
    if slash:
        return f"{namespace if where == '.' else where}/{name}"
    if written == MESH:
        return MESH
    name, dot, rest = written.partition(".")
    return f"{rest.partition('.')[0]}/{name}" if dot else f"{namespace}/{written}"
