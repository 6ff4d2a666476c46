"""What a proxy holds: the listeners, routes and clusters of its snapshot, as Envoy's messages again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import betterproto2
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.google import protobuf

from xds_server.xds import type_url
from xds_server.xds.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Held:
    """Read only.

    Attributes:
        routes: RouteConfigurations by name.
        clusters: the names of all clusters.
    """

    listeners: tuple[listener_v3.Listener, ...]
    routes: Mapping[str, route_v3.RouteConfiguration]
    clusters: frozenset[str]


def held(snapshot: Snapshot) -> Held:
    """What a proxy holds that has taken `snapshot`."""
    listeners, routes = snapshot.of_type(type_url.LISTENER), snapshot.of_type(type_url.ROUTE)
    return Held(
        tuple(listener_v3.Listener.parse(each.body) for each in listeners.values()),
        {name: route_v3.RouteConfiguration.parse(each.body) for name, each in routes.items()},
        frozenset(snapshot.of_type(type_url.CLUSTER)),
    )


def config_of(typed_config: protobuf.Any | None) -> betterproto2.Message | None:
    """What a `typed_config` holds, as one object for equal bytes; None for one that is left out. Read only."""
    return None if typed_config is None else _unpacked(typed_config.type_url, typed_config.value)


@lru_cache(maxsize=4096)
def _unpacked(url: str, value: bytes) -> betterproto2.Message | None:
    return protobuf.Any(type_url=url, value=value).unpack()
