"""A snapshot as a static bootstrap, so that `envoy --mode validate` loads all of it at once.

Endpoints stand inside their clusters and routes inside their listeners, with every cluster that a route names checked:
what is left to discovery, validate mode would pass over in silence.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap_v3
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

from xds_server.translate.encode import any_of, encode
from xds_server.translate.http_connection_manager import HTTP_CONNECTION_MANAGER
from xds_server.xds import type_url
from xds_server.xds.resource import Resource


def complaints(binary: Path, directory: Path, resources: Iterable[Resource]) -> str:
    """What Envoy says against `resources`: "" when it loads them all without a warning."""
    path = directory / "bootstrap.pb"
    path.write_bytes(encode(static_bootstrap(resources)))
    command = [str(binary), "--mode", "validate", "-l", "warning", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 and not done.stderr else done.stdout + done.stderr


def static_bootstrap(resources: Iterable[Resource]) -> bootstrap_v3.Bootstrap:
    """The bootstrap that holds `resources`."""
    bodies: dict[str, dict[str, bytes]] = {url: {} for url in type_url.PUSH_ORDER}
    for resource in resources:
        bodies[resource.type_url][resource.name] = resource.body
    return bootstrap_v3.Bootstrap(
        static_resources=bootstrap_v3.BootstrapStaticResources(
            clusters=[_cluster(body, bodies[type_url.ENDPOINT]) for body in bodies[type_url.CLUSTER].values()],
            listeners=[_listener(body, bodies[type_url.ROUTE]) for body in bodies[type_url.LISTENER].values()],
        )
    )


def _cluster(body: bytes, endpoints: dict[str, bytes]) -> cluster_v3.Cluster:
    cluster = cluster_v3.Cluster.parse(body)
    if cluster.type is cluster_v3.ClusterDiscoveryType.EDS:
        cluster.type = cluster_v3.ClusterDiscoveryType.STATIC
        cluster.eds_cluster_config = None
        cluster.load_assignment = endpoint_v3.ClusterLoadAssignment.parse(endpoints[cluster.name])
    return cluster


def _listener(body: bytes, routes: dict[str, bytes]) -> listener_v3.Listener:
    listener = listener_v3.Listener.parse(body)
    default = [listener.default_filter_chain] if listener.default_filter_chain else []
    for chain in (*listener.filter_chains, *default):
        chain.filters = [_filter(each, routes) for each in chain.filters]
    return listener


def _filter(network_filter: listener_v3.Filter, routes: dict[str, bytes]) -> listener_v3.Filter:
    if network_filter.name != HTTP_CONNECTION_MANAGER or network_filter.typed_config is None:
        return network_filter
    manager = hcm_v3.HttpConnectionManager.parse(network_filter.typed_config.value)
    if manager.rds is not None:
        configuration = route_v3.RouteConfiguration.parse(routes[manager.rds.route_config_name])
        configuration.validate_clusters = True
        manager.rds, manager.route_config = None, configuration
    return listener_v3.Filter(name=network_filter.name, typed_config=any_of(manager))
