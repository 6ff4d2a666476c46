"""A server that asks Envoys who they are, in this process, with a snapshot that the test sets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - its Any is parsed by name
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from google.protobuf import json_format

from tests.envoy.running import free_port
from tests.patience import PATIENCE
from tests.server.loopback import Client
from xds_server.bootstrap import NodeOptions
from xds_server.enroll import Enrolment, enroll
from xds_server.identity.principal import CONTROL_PLANE_DNS
from xds_server.mesh.service import Locality
from xds_server.mesh.workload import Interception, workload
from xds_server.security import Security, open_state, utc_now
from xds_server.server.hub import Hub, Proxy
from xds_server.server.listen import Listener, ListenOptions, listen
from xds_server.server.status import StatusBoard
from xds_server.settings import Address, Authentication, Settings
from xds_server.xds import type_url
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot

ADS = {"ads": {}, "resource_api_version": "V3"}
DAY = timedelta(days=1)


SECRETS = ((type_url.SECRET, "ROOTCA"), (type_url.SECRET, "default"))
TLS = f"{type_url.PREFIX}envoy.extensions.transport_sockets.tls.v3."


def tls_listener(port: int) -> Resource:
    """A listener with the proxy's own certificate that answers "hello" to whoever has one of the mesh."""
    context = {
        "@type": f"{TLS}DownstreamTlsContext",
        "require_client_certificate": True,
        "disable_stateless_session_resumption": True,
        "common_tls_context": _tls_of_the_mesh(),
    }
    socket_ = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    answer = {"direct_response": {"status": 200, "body": {"inline_string": "hello"}}}
    return _listener("web", port, answer, SECRETS, transport_socket=socket_)


def caller_of(port: int, listening: int) -> tuple[Resource, Resource]:
    """A plaintext listener at `listening` that sends all to `port` with the proxy's certificate, one handshake each.

    What it calls must be who the workload `web` of the namespace `default` is.
    """
    exact = {"san_type": "URI", "matcher": {"exact": "spiffe://cluster.local/ns/default/sa/web"}}
    common = _tls_of_the_mesh()
    common["combined_validation_context"] = {
        "default_validation_context": {"match_typed_subject_alt_names": [exact]},
        "validation_context_sds_secret_config": common.pop("validation_context_sds_secret_config"),
    }
    context = {"@type": f"{TLS}UpstreamTlsContext", "max_session_keys": 0, "common_tls_context": common}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    protocol = {
        "@type": f"{type_url.PREFIX}envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"max_requests_per_connection": 1},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    body = {
        "name": "mesh",
        "load_assignment": {
            "cluster_name": "mesh",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context},
    }
    message: Any = json_format.ParseDict(body, cluster_pb2.Cluster())
    cluster = Resource(type_url.CLUSTER, "mesh", "1", message.SerializeToString(deterministic=True), SECRETS)
    return cluster, _listener("out", listening, {"route": {"cluster": "mesh"}}, ((type_url.CLUSTER, "mesh"),))


def _tls_of_the_mesh() -> dict[str, Any]:
    return {
        "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": ADS}],
        "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": ADS},
    }


def _listener(
    name: str, port: int, action: dict[str, Any], refs: tuple[tuple[str, str], ...], **chain: Any
) -> Resource:
    """A listener that does one thing with every request."""
    filters = f"{type_url.PREFIX}envoy.extensions.filters."
    manager = {
        "@type": f"{filters}network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **action}]}]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{filters}http.router.v3.Router"}}],
    }
    body = {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}], **chain}],
    }
    message: Any = json_format.ParseDict(body, listener_pb2.Listener())
    return Resource(type_url.LISTENER, name, "1", message.SerializeToString(deterministic=True), refs)


@dataclass
class Secured:
    """The running server.

    Attributes:
        worker_is_free: cleared, the thread that makes snapshots is busy.
    """

    settings: Settings
    security: Security
    hub: Hub
    board: StatusBoard
    listener: Listener
    directory: Path
    worker_is_free: asyncio.Event

    def enrol(
        self, name: str, *, service_account: str = "", lifetime: timedelta = DAY, namespace: str = "default"
    ) -> Enrolled:
        """Enrol a node, as the command does."""
        options = NodeOptions(
            metrics_interval=0,
            name=name,
            namespace=namespace,
            service_account=service_account,
            interception=Interception.NONE,
            http_proxy_port=free_port(),
            xds=(Address("127.0.0.1", self.listener.port),),
            admin_port=free_port(),
        )
        directory = self.directory / f"{name}.{namespace}"
        how = Enrolment(
            directory=directory,
            seen_as=str(directory),
            lifetime=lifetime,
            token=self.settings.authentication is Authentication.TOKEN,
        )
        state = open_state(self.settings.state_dir, self.settings.trust, utc_now())
        enroll(state, self.settings.trust, options, how, utc_now())
        return Enrolled(directory, options)

    @asynccontextmanager
    async def stream(self, node: Enrolled | None, *, node_id: str = "", delta: bool = True) -> AsyncIterator[Client]:
        """A stream of a peer with this node's credentials; it says the node's id unless told otherwise."""
        kind = "Delta" if delta else "Stream"
        path = f"/envoy.service.discovery.v3.AggregatedDiscoveryService/{kind}AggregatedResources"
        said = node_id or (node.node_id if node else "node-1")
        async with self.channel(node) as opened:
            yield Client(opened, path, node=said, metadata=node.metadata if node else ())

    def channel(self, node: Enrolled | None) -> grpc.aio.Channel:
        """A connection of its own; without a node there is no client certificate."""
        node_root = (self.settings.state_dir / "node-ca" / "root-cert.pem").read_bytes()
        pair = node.pair if node else (None, None)
        credentials = grpc.ssl_channel_credentials(node_root, *pair)
        options = [("grpc.ssl_target_name_override", CONTROL_PLANE_DNS), ("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(f"127.0.0.1:{self.listener.port}", credentials, options=options)


@dataclass(frozen=True)
class Enrolled:
    """A node's directory."""

    directory: Path
    options: NodeOptions

    @property
    def node_id(self) -> str:
        """As its bootstrap says it."""
        options = self.options
        return f"sidecar~127.0.0.1~{options.name}.{options.namespace}~{options.namespace}.svc.cluster.local"

    def replica(self, name: str) -> str:
        """The id of one of several proxies that have its credential."""
        return self.node_id.replace(self.options.name, f"{self.options.name}@{name}")

    @property
    def pair(self) -> tuple[bytes | None, bytes | None]:
        """Key and certificate, where it has them."""
        if not (self.directory / "tls.key").exists():
            return None, None
        return (self.directory / "tls.key").read_bytes(), (self.directory / "tls.crt").read_bytes()

    @property
    def metadata(self) -> Sequence[tuple[str, str]]:
        """Its token, where it has one."""
        path = self.directory / "token"
        return (("authorization", f"Bearer {path.read_text()}"),) if path.exists() else ()


@asynccontextmanager
async def secured(directory: Path, *resources: Resource, max_age: float = 0, **settings: Any) -> AsyncIterator[Secured]:
    """A server with client certificates and these resources for everybody."""
    chosen = Settings.of(
        **{"policies": (directory,), "auth": Authentication.CERTIFICATE, "state_dir": directory / "state", **settings}
    )
    snapshot = Snapshot.of(resources)
    free = asyncio.Event()
    free.set()

    async def in_worker(call: Callable[..., Any], *args: Any) -> Any:
        await free.wait()
        return await asyncio.to_thread(call, *args)

    async def snapshots_for(proxies: Sequence[Proxy]) -> Sequence[Snapshot | None]:
        workloads = [
            security.workload(
                proxy,
                workload(proxy.node.id, default_namespace="default", metadata=proxy.node.metadata, locality=Locality()),
            )
            for proxy in proxies
        ]
        return await security.secured(proxies, workloads, [snapshot] * len(proxies))

    board = StatusBoard()
    hub = Hub(snapshots_for)
    security = Security(chosen, hub, board, in_worker)
    hub.publish(1)
    listener = await listen(
        "127.0.0.1:0",
        hub,
        board,
        authenticate=security.authenticate,
        admit=security.admit,
        credentials=security.port_credentials(),
        options=ListenOptions(max_age=max_age),
    )
    running = [asyncio.create_task(hub.run()), asyncio.create_task(security.run())]
    try:
        yield Secured(chosen, security, hub, board, listener, directory, free)
    finally:
        await listener.stop(0)
        for task in running:
            task.cancel()


def shown_certificate(port: int, credentials: Path) -> x509.Certificate:
    """The certificate that a TLS server on loopback shows to a client with the pair in the file `credentials`.

    Raises:
        OSError: no handshake (ssl.SSLError is one).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(credentials)
    plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    with plain, context.wrap_socket(plain) as connection:
        der = connection.getpeercert(binary_form=True)
        assert der
        return x509.load_der_x509_certificate(der)
