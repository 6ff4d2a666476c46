"""Requests and responses of both protocol variants as plain values: what the stream machines take and give.

`server/wire.py` turns gRPC messages into these and back; nothing here knows protobuf. What every push makes for every
stream is a named tuple, which costs a quarter of a frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from xds_server.xds.resource import Resource


@dataclass(frozen=True, slots=True)
class Node:
    """Who the peer says it is (envoy.config.core.v3.Node): sent with the first request of a stream, perhaps only there.

    Attributes:
        locality: (region, zone, sub_zone).
        metadata: decoded google.protobuf.Struct; numbers are floats.
    """

    id: str
    cluster: str = ""
    locality: tuple[str, str, str] = ("", "", "")
    metadata: dict[str, object] = field(default_factory=dict)
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class NackDetail:
    """Why the peer refused a response: google.rpc.Status. The text may quote a private key: see `server/status.py`."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class SotwRequest:
    """DiscoveryRequest."""

    type_url: str
    names: tuple[str, ...] = ()
    version: str = ""
    nonce: str = ""
    error: NackDetail | None = None
    node: Node | None = None


@dataclass(frozen=True, slots=True)
class DeltaRequest:
    """DeltaDiscoveryRequest. `initial_versions` is meaningful in the first request of a type on a stream."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    initial_versions: dict[str, str] = field(default_factory=dict)
    nonce: str = ""
    error: NackDetail | None = None
    node: Node | None = None


class SotwResponse(NamedTuple):
    """DiscoveryResponse. `version` is a hash over the versions of `resources`."""

    type_url: str
    version: str
    nonce: str
    resources: tuple[Resource, ...]


class DeltaResponse(NamedTuple):
    """DeltaDiscoveryResponse. A name is never in both lists nor twice in one."""

    type_url: str
    version: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...] = ()


class Acked(NamedTuple):
    """The peer took everything in the response that bears this nonce."""

    type_url: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Nacked:
    """The peer refused (part of) the response that bears this nonce. `resources` are what that response held."""

    type_url: str
    nonce: str
    error: NackDetail
    resources: tuple[Resource, ...]
