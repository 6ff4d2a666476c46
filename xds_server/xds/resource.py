"""One named, encoded xDS resource: what streams carry and snapshots hold."""

from __future__ import annotations

from dataclasses import dataclass

from xds_server.problem import Origin


@dataclass(frozen=True, slots=True)
class Resource:
    """Encoded once, shared by every stream.

    Attributes:
        type_url: see `type_url`.
        name: unique within its type in a snapshot.
        version: content hash of `body`; equal exactly when the bytes are.
        body: the serialised message, the `value` of its Any.
        refs: (type_url, name) of the resources that this one needs; all are in the same snapshot.
        origins: the policy documents it was made from, for whoever must explain a NACK.
    """

    type_url: str
    name: str
    version: str
    body: bytes
    refs: tuple[tuple[str, str], ...] = ()
    origins: tuple[Origin, ...] = ()
