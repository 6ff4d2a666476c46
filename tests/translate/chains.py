"""Filter chains as tests compare them: what they match, and where they send it."""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from tests.translate.shown import shown
from xds_server.xds.resource import Resource

HTTP = ("http/1.1", "h2c")


def chains(resource: Resource) -> list[tuple[dict[str, Any], str]]:
    """(match, target) of each filter chain in order, the default filter chain as {"default": True} at the end.

    A target is a cluster for TCP, "routes NAME" for HTTP with routes by discovery, "routes CLUSTER" for inline ones.
    """
    listener = shown(listener_v3.Listener.parse(resource.body))
    found = [(chain.get("filter_chain_match", {}), _target(chain)) for chain in listener.get("filter_chains", [])]
    default = listener.get("default_filter_chain")
    return [*found, *([({"default": True}, _target(default))] if default else [])]


def inspectors(resource: Resource) -> list[str]:
    """The listener filters' short names."""
    listener = listener_v3.Listener.parse(resource.body)
    return [found.name.removeprefix("envoy.filters.listener.") for found in listener.listener_filters]


def _target(chain: dict[str, Any]) -> str:
    (network_filter,) = chain["filters"]
    config = network_filter["typed_config"]
    if "rds" in config:
        return f"routes {config['rds']['route_config_name']}"
    if "route_config" in config:
        (host,) = config["route_config"]["virtual_hosts"]
        return f"routes {host['routes'][0]['route']['cluster']}"
    return str(config["cluster"])
