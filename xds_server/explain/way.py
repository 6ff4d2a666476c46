"""The whole way of a connection, and of a request on it, through a proxy: from listener to cluster.

It is read off the messages that the proxy was sent, by Envoy's documented rules; `tests/envoy/test_ways.py` asks real
Envoys whether they agree. It does not know policies, and nothing of what happens behind a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy import v3 as tcp_proxy_v3

from xds_server.errors import CannotTell
from xds_server.explain.filter_chain import filter_chain_for
from xds_server.explain.held import Held, config_of
from xds_server.explain.inspection import found_by
from xds_server.explain.listener import listener_for
from xds_server.explain.path import is_redirected, path_seen
from xds_server.explain.request_headers import PROTO, headers_seen
from xds_server.explain.route import routes_for
from xds_server.explain.target import CLOSED, NOT_FOUND, TO_HTTPS, TO_PATH, Fate, Target, route_target, tcp_target
from xds_server.explain.traffic import Connection, Request
from xds_server.explain.virtual_host import virtual_host_for

_TlsRequirement = route_v3.VirtualHostTlsRequirementType


@dataclass(frozen=True, slots=True)
class Turn:
    """One end of the way, and the part of requests that come to it.

    Attributes:
        route: None for connections that are not routed by request, and for requests that no route takes.
    """

    share: Fraction
    target: Target
    route: route_v3.Route | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How far something gets, and where it ends.

    Attributes:
        listener: None when nobody listens.
        chain: None when the listener closes it.
        routes: the name of the RouteConfiguration; "" where no requests are read.
        path: of the request, as routes see it; "" for one that is refused before, and for none.
        virtual_host: None when the request's host has none.
        turns: where it ends; several where chance decides. Their shares sum up to 1.
    """

    listener: listener_v3.Listener | None = None
    chain: listener_v3.FilterChain | None = None
    routes: str = ""
    path: str = ""
    virtual_host: route_v3.VirtualHost | None = None
    turns: tuple[Turn, ...] = (Turn(Fraction(1), CLOSED),)


def way_of(held: Held, connection: Connection, request: Request | None = None) -> Way:
    """The way of `connection`, and of `request` where the proxy reads requests in it.

    Raises:
        CannotTell: something on the way decides by what is not known here; never for what this server sends.
    """
    listener = listener_for(held.listeners, connection)
    if listener is None:
        return Way()
    chain = filter_chain_for(listener, connection, found_by(listener, connection))
    if chain is None:
        return Way(listener)
    here = Way(listener, chain)
    if chain.transport_socket is not None and not connection.tls:
        return here  # what is no handshake ends the connection
    last = _last_filter(chain)
    if isinstance(last, tcp_proxy_v3.TcpProxy):
        return _answered(here, tcp_target(last))
    return _read(replace(here, routes=_routes_name(last)), last, held, connection, request)


def _read(
    here: Way,
    manager: hcm_v3.HttpConnectionManager,
    held: Held,
    connection: Connection,
    request: Request | None,
) -> Way:
    """The way of a request whose connection `manager` reads."""
    secure = here.chain is not None and here.chain.transport_socket is not None
    if request is None or (connection.tls and not secure):
        return here  # bytes that are no request end the connection
    seen = headers_seen(manager, connection, request, secure=secure)
    path = path_seen(manager, request.path) if seen else None
    if seen is None or path is None:
        return _answered(here, Target(Fate.RESPOND, status=400))
    seen, routes = replace(seen, path=path), _routes(manager, held)
    here = replace(here, path=path, virtual_host=virtual_host_for(routes, seen.authority))
    return _answered(here, TO_PATH) if is_redirected(manager, request.path) else _routed(here, seen)


def _answered(here: Way, target: Target) -> Way:
    """The way of all that comes `here`, without a route."""
    return replace(here, turns=(Turn(Fraction(1), target),))


def _routed(here: Way, request: Request) -> Way:
    """The way of a request as routes see it, by its virtual host."""
    proto = request.values(PROTO)
    if here.virtual_host is None or proto == ("",):  # without a scheme, Envoy looks for no route
        return _answered(here, NOT_FOUND)
    if here.virtual_host.require_tls is _TlsRequirement.ALL and proto != ("https",):
        return _answered(here, TO_HTTPS)
    found = routes_for(here.virtual_host, request)
    turns = tuple(Turn(share, route_target(route), route) for share, route in found)
    left = 1 - sum((turn.share for turn in turns), Fraction(0))
    return replace(here, turns=(*turns, *([Turn(left, NOT_FOUND)] if left else [])))


def _last_filter(chain: listener_v3.FilterChain) -> hcm_v3.HttpConnectionManager | tcp_proxy_v3.TcpProxy:
    """The filter that ends the chain; those before it look, and pass on."""
    config = config_of(chain.filters[-1].typed_config) if chain.filters else None
    if isinstance(config, hcm_v3.HttpConnectionManager | tcp_proxy_v3.TcpProxy):
        return config
    raise CannotTell(f"filter chain {chain.name!r} ends in a filter that is not known here")


def _routes_name(manager: hcm_v3.HttpConnectionManager) -> str:
    if manager.rds is not None:
        return manager.rds.route_config_name
    return manager.route_config.name if manager.route_config else ""


def _routes(manager: hcm_v3.HttpConnectionManager, held: Held) -> route_v3.RouteConfiguration:
    if manager.route_config is not None:
        return manager.route_config
    found = held.routes.get(_routes_name(manager))
    if found is None:
        raise CannotTell(f"there are no routes named {_routes_name(manager)!r}")
    return found
