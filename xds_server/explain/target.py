"""What becomes of what a route or a TCP proxy has taken."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy import v3 as tcp_proxy_v3

from xds_server.errors import CannotTell


class Fate(enum.StrEnum):
    """What Envoy does with it."""

    FORWARD = "forward"
    REDIRECT = "redirect"
    RESPOND = "respond"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Target:
    """What becomes of it.

    Attributes:
        clusters: (name, weight) of those that take a part, each once; what has weight 0 is not among them.
        mirrors: clusters that get a copy.
        status: of an answer that Envoy gives itself; 0 when it does not know it before.
    """

    fate: Fate
    clusters: tuple[tuple[str, int], ...] = ()
    mirrors: tuple[str, ...] = ()
    status: int = 0


CLOSED = Target(Fate.CLOSE)
NOT_FOUND = Target(Fate.RESPOND, status=404)
"""No virtual host, or no route in it."""
TO_HTTPS = Target(Fate.REDIRECT, status=301)
"""A plain request to a virtual host that wants TLS."""
TO_PATH = Target(Fate.REDIRECT, status=307)
"""A path that whoever sent it is to write without encoded slashes."""
_REDIRECT_STATUS = {0: 301, 1: 302, 2: 303, 3: 307, 4: 308}


def route_target(route: route_v3.Route) -> Target:
    """What becomes of a request that `route` takes.

    Raises:
        CannotTell: its cluster is found in a way that depends on more than the configuration.
    """
    if route.redirect is not None:
        return Target(Fate.REDIRECT, status=_REDIRECT_STATUS[int(route.redirect.response_code)])
    if route.direct_response is not None:
        return Target(Fate.RESPOND, status=route.direct_response.status)
    if route.route is None:
        raise CannotTell(f"route {route.name!r} does something that is not known here")
    mirrors = tuple(each.cluster for each in route.route.request_mirror_policies)
    return Target(Fate.FORWARD, _clusters(route.route), mirrors)


def tcp_target(proxy: tcp_proxy_v3.TcpProxy) -> Target:
    """What becomes of a connection that `proxy` takes."""
    if proxy.weighted_clusters is not None:
        return Target(Fate.FORWARD, _shares((each.name, each.weight) for each in proxy.weighted_clusters.clusters))
    return Target(Fate.FORWARD, ((proxy.cluster or "", 1),))


def _clusters(action: route_v3.RouteAction) -> tuple[tuple[str, int], ...]:
    if action.cluster is not None:
        return ((action.cluster, 1),)
    if action.weighted_clusters is None:
        raise CannotTell("a cluster is named by a header or chosen by an extension")
    return _shares((each.name, each.weight or 0) for each in action.weighted_clusters.clusters)


def _shares(weighted: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    total: dict[str, int] = {}
    for name, weight in weighted:
        total[name] = total.get(name, 0) + weight
    return tuple((name, weight) for name, weight in total.items() if weight)
