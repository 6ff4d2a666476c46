"""What each connected proxy was sent and what it answered: facts kept by the server, shown by the debug endpoints."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from xds_server.problem import Origin


class Variant(enum.StrEnum):
    """Which variant of the xDS transport protocol a stream speaks."""

    SOTW = "sotw"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class TypeState:
    """One resource type on one stream. "" and None mean that it has not happened yet.

    Attributes:
        sent_nonce, sent_version, sent_at: of the latest response; `sent_at` is aware, UTC.
        acked_nonce, acked_version, acked_at: of the latest response that the peer took whole; a peer that came with
            all there is has taken that version without a response.
        last_error: text of the latest refusal, secrets already removed; "" once a later response was taken.
        refused: names of the resources behind `last_error`.
        origins: the policy documents that these were made from.
        subscribed: how many names the peer asked for; 0 for a wildcard.
        wildcard: whether it asked for everything.
        pushes, acks, nacks: counted since the stream began.
    """

    sent_nonce: str = ""
    sent_version: str = ""
    sent_at: datetime | None = None
    acked_nonce: str = ""
    acked_version: str = ""
    acked_at: datetime | None = None
    last_error: str = ""
    subscribed: int = 0
    wildcard: bool = False
    pushes: int = 0
    acks: int = 0
    nacks: int = 0
    refused: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()

    @property
    def is_synced(self) -> bool:
        """Whether the peer took the latest response, or needed none."""
        return bool(self.acked_version) and self.sent_nonce == self.acked_nonce


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """One stream. A node with two streams has two of these.

    Attributes:
        cluster: node.cluster as the peer said it.
        namespace: of the workload.
        peer: the address it connects from, as gRPC writes it.
        connected_at: aware, UTC.
        types: by type URL; only types that the peer asked for.
        user_agent: name and version of the peer's software, "" when it did not say.
    """

    node_id: str
    cluster: str
    namespace: str
    peer: str
    variant: Variant
    connected_at: datetime
    types: Mapping[str, TypeState] = field(default_factory=dict)
    user_agent: str = ""
