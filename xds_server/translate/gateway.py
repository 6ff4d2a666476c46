"""A router's view to its listeners, routes and certificates in files: a table of contents of `gateway_*`."""

from __future__ import annotations

from functools import lru_cache

from xds_server.mesh.view import View
from xds_server.translate.file_secret import each_once
from xds_server.translate.gateway_listener import file_secrets, gateway_listener, gateway_listeners
from xds_server.translate.gateway_route import GatewayRouteTranslator
from xds_server.xds.resource import Resource

REMEMBERED = 1024
"""Listeners kept, by what they were made from."""


class GatewayTranslator:
    """What only routers are sent, remembering. Not for two threads at once."""

    def __init__(self) -> None:
        self._listener = lru_cache(maxsize=REMEMBERED)(gateway_listener)
        self._routes = GatewayRouteTranslator()

    def translate(self, view: View, clusters: frozenset[str]) -> tuple[Resource, ...]:
        """Listeners, RouteConfigurations and file secrets of a router that gets these clusters."""
        plans = gateway_listeners(view)
        listeners = [self._listener(plan) for plan in plans]
        named = {name for listener in listeners for _, name in listener.refs}
        routes = [found for found in self._routes.route_configurations(view, clusters) if found.name in named]
        secrets = each_once(secret for plan in plans for secret in file_secrets(plan))
        return (*listeners, *routes, *secrets)
