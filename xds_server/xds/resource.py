"""One named, encoded xDS resource: what streams carry and snapshots hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xds_server.problem import Origin


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """A piece of a resource's body that is made apart from the rest: a virtual host. By identity.

    Attributes:
        name: what the piece is called.
        version: content hash of `field`.
        field: its bytes as they stand in the body, tag and length included.
        clusters: names of the clusters that it sends to.
        origins: the documents that it was written in.
        service_origins: those of the service that it stands for, which have a smaller part in it.
    """

    name: str
    version: str
    field: bytes
    clusters: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    service_origins: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """Encoded once, shared by every stream.

    Attributes:
        type_url: see `type_url`.
        name: unique within its type in a snapshot.
        version: content hash of `body`; equal exactly when the bytes are.
        body: the serialised message, the `value` of its Any.
        refs: (type_url, name) of the resources that this one needs; all are in the same snapshot.
        origins: the policy documents it was made from, for whoever must explain a NACK; those of a joined one in
            the order of its parts.
        parts: the pieces that it was joined from, where it was; each has origins of its own.
    """

    type_url: str
    name: str
    version: str
    body: bytes
    refs: tuple[tuple[str, str], ...] = ()
    origins: tuple[Origin, ...] = ()
    parts: tuple[Part, ...] = field(default=(), compare=False, repr=False)


def versions_text(resources: Mapping[str, Resource]) -> str:
    """Names and versions of resources of one type: equal for equal resources in the same order."""
    return "\0".join((*resources, *[resource.version for resource in resources.values()]))
