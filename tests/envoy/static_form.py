"""A snapshot as a static bootstrap, so that `envoy --mode validate` loads all of it at once.

Endpoints stand inside their clusters and routes inside their listeners, with every cluster that a route names checked:
what is left to discovery, validate mode would pass over in silence.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap_v3
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.transport_sockets.proxy_protocol import v3 as proxy_protocol_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from tests.patience import PATIENCE
from xds_server.identity.authority import issue, key_pem, new_key, new_root, pem
from xds_server.mesh.identity import Credentials, SpiffeId
from xds_server.translate.encode import any_of, encode
from xds_server.translate.http_connection_manager import HTTP_CONNECTION_MANAGER
from xds_server.translate.secret import secrets
from xds_server.xds import type_url
from xds_server.xds.resource import Resource


def complaints(binary: Path, directory: Path, resources: Iterable[Resource]) -> str:
    """What Envoy says against `resources`: "" when it loads them all without a warning."""
    path = directory / "bootstrap.pb"
    path.write_bytes(encode(static_bootstrap(resources)))
    command = [str(binary), "--mode", "validate", "-l", "warning", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return "" if done.returncode == 0 and not done.stderr else done.stdout + done.stderr


def static_bootstrap(resources: Iterable[Resource]) -> bootstrap_v3.Bootstrap:
    """The bootstrap that holds `resources`."""
    bodies: dict[str, dict[str, bytes]] = {url: {} for url in type_url.PUSH_ORDER}
    for resource in resources:
        bodies[resource.type_url][resource.name] = resource.body
    static = _Secrets()
    clusters = [_cluster(body, bodies[type_url.ENDPOINT], static) for body in bodies[type_url.CLUSTER].values()]
    listeners = [_listener(body, bodies[type_url.ROUTE], static) for body in bodies[type_url.LISTENER].values()]
    return bootstrap_v3.Bootstrap(
        node=core_v3.Node(id="static", cluster="static"),
        static_resources=bootstrap_v3.BootstrapStaticResources(
            clusters=clusters, listeners=listeners, secrets=list(static.by_name.values())
        ),
    )


class _Secrets:
    """Secrets for every name that a TLS context asks for, whatever it would be given: Envoy wants to see one each."""

    def __init__(self) -> None:
        self.by_name: dict[str, tls_v3.Secret] = {}

    def filled(self, socket: core_v3.TransportSocket | None) -> core_v3.TransportSocket | None:
        """The same socket with its secrets in the bootstrap instead of on a stream."""
        context = socket.typed_config.unpack() if socket and socket.typed_config else None
        if isinstance(context, proxy_protocol_v3.ProxyProtocolUpstreamTransport):
            context.transport_socket = self.filled(context.transport_socket)
        elif isinstance(context, tls_v3.UpstreamTlsContext | tls_v3.DownstreamTlsContext):
            self._fill(context.common_tls_context or tls_v3.CommonTlsContext())
        else:
            return socket
        return core_v3.TransportSocket(name=socket.name if socket else "", typed_config=any_of(context))

    def _fill(self, context: tls_v3.CommonTlsContext) -> None:
        identity, roots = _some_secrets()
        for config in context.tls_certificate_sds_secret_configs:
            config.sds_config = None
            self.by_name[config.name] = tls_v3.Secret(name=config.name, tls_certificate=identity.tls_certificate)
        combined = context.combined_validation_context
        if combined and combined.validation_context_sds_secret_config:
            name = combined.validation_context_sds_secret_config.name
            combined.validation_context_sds_secret_config.sds_config = None
            self.by_name[name] = tls_v3.Secret(name=name, validation_context=roots.validation_context)


@cache
def _some_secrets() -> tuple[tls_v3.Secret, tls_v3.Secret]:
    """A certificate with its key, and the authority behind it."""
    now, key = datetime.now(UTC), new_key()
    root = new_root("test", "cluster.local", now, key=new_key())
    certificate = issue(root, key.public_key(), SpiffeId("cluster.local", "default", "default"), now)
    identity, roots = secrets(Credentials(pem([certificate]), key_pem(key), pem(root.roots)))
    return tls_v3.Secret.parse(identity.body), tls_v3.Secret.parse(roots.body)


def _cluster(body: bytes, endpoints: dict[str, bytes], static: _Secrets) -> cluster_v3.Cluster:
    cluster = cluster_v3.Cluster.parse(body)
    cluster.transport_socket = static.filled(cluster.transport_socket)
    for match in cluster.transport_socket_matches:
        match.transport_socket = static.filled(match.transport_socket)
    if cluster.eds_cluster_config is not None:
        assigned = endpoints[cluster.eds_cluster_config.service_name]
        cluster.type = cluster_v3.ClusterDiscoveryType.STATIC
        cluster.eds_cluster_config = None
        cluster.load_assignment = endpoint_v3.ClusterLoadAssignment.parse(assigned)
    return cluster


def _listener(body: bytes, routes: dict[str, bytes], static: _Secrets) -> listener_v3.Listener:
    listener = listener_v3.Listener.parse(body)
    default = [listener.default_filter_chain] if listener.default_filter_chain else []
    for chain in (*listener.filter_chains, *default):
        chain.filters = [_filter(each, routes) for each in chain.filters]
        chain.transport_socket = static.filled(chain.transport_socket)
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
