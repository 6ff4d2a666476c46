"""A real Envoy that is given listeners and routes without any server, and tells which way each connection took.

It gets exactly what a proxy would be sent, but for what the way does not depend on: every cluster is one echo server,
TLS ends with a certificate of the test's own, and routes stand inside the listeners. Access logs are added, in which it
says which listener, chain, virtual host, route and cluster it chose. Where a connection was going before iptables sent
it here, the PROXY protocol says in iptables' place, so that no privileges are needed.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import random
import socket
import ssl
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.access_loggers.file import v3 as file_v3
from envoy_data_plane.envoy.extensions.filters.listener.original_dst import v3 as original_dst_v3
from envoy_data_plane.envoy.extensions.filters.listener.proxy_protocol import v3 as proxy_protocol_v3
from envoy_data_plane.envoy.extensions.filters.network.direct_response import v3 as direct_response_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy import v3 as tcp_proxy_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from envoy_data_plane.envoy.service.discovery import v3 as discovery_v3

from tests.envoy.running import free_port, get, until
from tests.envoy.test_gateway import pair
from tests.patience import PATIENCE
from xds_server.explain.held import Held
from xds_server.explain.traffic import Connection, Request
from xds_server.translate.encode import any_of, encode
from xds_server.translate.endpoint import address
from xds_server.translate.metadata import struct

_LEAVING = ("listener_manager.total_listeners_draining", "listener_manager.total_filter_chains_draining")
NOT_HTTP = b"\x01\x02\x03 neither HTTP nor TLS\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Case:
    """Something to send."""

    connection: Connection
    request: Request | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What Envoy says of one connection; "" where it did not get so far.

    Attributes:
        chain: its place in the listener, "default", or "" when the listener closed the connection.
        path: as routes see it.
    """

    listener: str = ""
    chain: str = ""
    virtual_host: str = ""
    route: str = ""
    cluster: str = ""
    status: int = 0
    path: str = ""


class Echo:
    """Where all clusters lead: an HTTP response for an HTTP request, and a few bytes for all others."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=(self._listening.accept()[0],), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while asked := client.recv(65536):
                if asked[:1].isalpha():
                    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * asked.count(b"\r\n\r\n"))
                else:
                    client.sendall(b"\x00")
                    return

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()


class Witness:
    """The Envoy. `load` first, then `ask`."""

    def __init__(self, binary: Path, directory: Path) -> None:
        self._directory, self._echo = directory, Echo()
        self._watched = directory / "xds"  # of its own: Envoy looks at each change in it
        self._watched.mkdir()
        self._log, self._version = directory / "ways.log", 0
        self._captured = {port: free_port() for port in (15001, 15006)}
        self._sources = iter(range(random.randrange(33000, 40000), 60000))
        self._lines_read, self._last_port = 0, free_port()
        self._admin = free_port()
        self._certificate, self._key = pair()
        for kind in ("lds", "cds"):
            self._write(kind, [])
        config = directory / "witness.json"
        config.write_text(json.dumps(self._bootstrap()))
        with (directory / "witness.log").open("wb") as output:
            self._process = subprocess.Popen(
                [str(binary), "-c", str(config), "-l", "warn", "--concurrency", "1", "--use-dynamic-base-id",
                 "--file-flush-interval-msec", "10", "--drain-time-s", "0"], stdout=output, stderr=output,
            )  # fmt: skip
        until(lambda: get(self._admin, "/ready").startswith("LIVE"), what="the witness is live")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._echo.close()

    def load(self, held: Held) -> None:
        """Take up what a proxy holds in place of what was there, and wait until it is in force."""
        self._version += 1
        self._write("cds", [self._cluster(name) for name in sorted(held.clusters)])
        until(lambda: self._accepted("cluster_manager.cds"), what="the clusters are taken")
        self._write("lds", [*(self._listener(each, held) for each in held.listeners), self._last()])
        until(lambda: self._accepted("listener_manager.lds"), what="the listeners are taken")
        until(
            lambda: self._version_in_force() == self._version, what="the last listener is there, and so are all others"
        )
        until(lambda: not any(map(self._stat, _LEAVING)), what="what was there before takes no more connections")

    def ask(self, cases: Sequence[Case]) -> list[Told]:
        """Send each case by a connection of its own; what Envoy says of each."""
        ports = [self._send(case) for case in cases]
        lines: dict[int, dict[str, dict[str, str]]] = defaultdict(dict)

        def complete() -> bool:
            for line in self._new_lines():
                lines[int(line["port"])][line["by"]] = line
            return all("listener" in lines[port] for port in ports if port)

        until(complete, what="Envoy has told of every connection")
        return [_told(lines[port]) if port else Told() for port in ports]

    def _new_lines(self) -> Iterator[dict[str, str]]:
        with self._log.open() as log:
            log.seek(self._lines_read)
            for line in iter(log.readline, ""):
                if not line.endswith("\n"):
                    return
                self._lines_read += len(line.encode())
                yield json.loads(line)

    def _send(self, case: Case) -> int:
        """The client's port; 0 when nobody listened."""
        connection = case.connection
        captured = connection.captured_by is not None
        to = (
            ("127.0.0.1", self._captured[connection.captured_by or 0])
            if captured
            else (connection.address, connection.port)
        )
        try:
            client = self._connected(to)
        except ConnectionRefusedError:
            return 0
        port: int = client.getsockname()[1]
        with client, contextlib.suppress(OSError, http.client.HTTPException):
            if captured:
                family = "TCP6" if ":" in connection.address else "TCP4"
                client.sendall(f"PROXY {family} {connection.source} {connection.address} "
                               f"{connection.source_port} {connection.port}\r\n".encode())  # fmt: skip
            if connection.tls:
                with _in_tls(client, connection) as secure:
                    _speak(secure, case.request)
            else:
                _speak(client, case.request)
        return port

    def _connected(self, to: tuple[str, int]) -> socket.socket:
        """A connection from a port that none before it came from: in logs, that is its name."""
        while True:
            try:
                return socket.create_connection(to, timeout=PATIENCE, source_address=("", next(self._sources)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise

    def _last(self) -> listener_v3.Listener:
        """A listener that says which version it is of; Envoy puts them into force one after the other."""
        says = direct_response_v3.Config(response=core_v3.DataSource(inline_string=str(self._version)))
        answers = listener_v3.Filter(name="envoy.filters.network.direct_response", typed_config=any_of(says))
        chain = listener_v3.FilterChain(filters=[answers])
        return listener_v3.Listener(
            name="the last", address=address("127.0.0.1", self._last_port), filter_chains=[chain]
        )

    def _version_in_force(self) -> int:
        with socket.create_connection(("127.0.0.1", self._last_port), timeout=PATIENCE) as client:
            return int(client.recv(64) or 0)

    def _accepted(self, what: str) -> bool:
        assert not self._stat(f"{what}.update_rejected"), (self._directory / "witness.log").read_text()
        return self._stat(f"{what}.update_success") > self._version

    def _stat(self, name: str) -> int:
        text = get(self._admin, f"/stats?filter=^{name}$")
        return int(text.rpartition(": ")[2] or 0)

    def _write(self, kind: str, resources: Iterable[listener_v3.Listener | cluster_v3.Cluster]) -> None:
        packed = [any_of(each) for each in resources]
        response = discovery_v3.DiscoveryResponse(version_info=str(self._version), resources=packed)
        draft = self._watched / f"{kind}.draft"
        draft.write_bytes(encode(response))
        draft.replace(self._watched / f"{kind}.pb")

    def _bootstrap(self) -> dict[str, object]:
        def source(kind: str) -> dict[str, object]:
            return {"path_config_source": {"path": str(self._watched / f"{kind}.pb")}, "resource_api_version": "V3"}

        return {
            "node": {"id": "witness", "cluster": "witness"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self._admin}}},
            "dynamic_resources": {"cds_config": source("cds"), "lds_config": source("lds")},
        }

    def _cluster(self, name: str) -> cluster_v3.Cluster:
        endpoint = endpoint_v3.LbEndpoint(endpoint=endpoint_v3.Endpoint(address=address("127.0.0.1", self._echo.port)))
        return cluster_v3.Cluster(
            name=name,
            type=cluster_v3.ClusterDiscoveryType.STATIC,
            load_assignment=endpoint_v3.ClusterLoadAssignment(
                cluster_name=name, endpoints=[endpoint_v3.LocalityLbEndpoints(lb_endpoints=[endpoint])]
            ),
        )

    def _listener(self, listener: listener_v3.Listener, held: Held) -> listener_v3.Listener:
        changed = listener_v3.Listener.parse(encode(listener))
        where = changed.address.socket_address if changed.address else None
        if where and where.port_value in self._captured and changed.bind_to_port is not False:
            changed.address = address("127.0.0.1", self._captured[where.port_value])
            if changed.use_original_dst:
                # Envoy itself looks for the original destination last of all; this looks after it.
                changed.filter_chains[0].use_proxy_proto = True
            else:
                changed.listener_filters = [_proxy_protocol(), *filter(_is_no_original_dst, changed.listener_filters)]
        for place, chain in numbered(changed):
            chain.filters = [self._filter(each, listener.name, place, held) for each in chain.filters]
            if chain.transport_socket:
                chain.transport_socket = self._ends_tls()
        changed.access_log = [self._access_log("listener", listener.name, "")]
        return changed

    def _filter(self, each: listener_v3.Filter, listener: str, place: str, held: Held) -> listener_v3.Filter:
        config = each.typed_config.unpack() if each.typed_config else None
        if isinstance(config, hcm_v3.HttpConnectionManager):
            config.access_log = [self._access_log("filter", listener, place)]
            config.delayed_close_timeout = timedelta(0)  # what was refused is logged at once
            if config.rds is not None:
                config.route_config = _without_waiting(held.routes[config.rds.route_config_name])
                config.rds = None
        elif isinstance(config, tcp_proxy_v3.TcpProxy):
            config.access_log = [self._access_log("filter", listener, place)]
        else:
            return each
        return listener_v3.Filter(name=each.name, typed_config=any_of(config))

    def _access_log(self, by: str, listener: str, place: str) -> accesslog_v3.AccessLog:
        line = struct(
            {
                "by": by,
                "listener": listener,
                "chain": place,
                "port": "%DOWNSTREAM_DIRECT_REMOTE_PORT%",
                "virtual_host": "%CEL(xds.virtual_host_name)%",
                "route": "%ROUTE_NAME%",
                "cluster": "%UPSTREAM_CLUSTER_RAW%",
                "status": "%RESPONSE_CODE%",
                "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
            }
        )
        log = file_v3.FileAccessLog(path=str(self._log), log_format=core_v3.SubstitutionFormatString(json_format=line))
        return accesslog_v3.AccessLog(name="envoy.access_loggers.file", typed_config=any_of(log))

    def _ends_tls(self) -> core_v3.TransportSocket:
        own = tls_v3.TlsCertificate(
            certificate_chain=core_v3.DataSource(inline_bytes=self._certificate),
            private_key=core_v3.DataSource(inline_bytes=self._key),
        )
        context = tls_v3.DownstreamTlsContext(common_tls_context=tls_v3.CommonTlsContext(tls_certificates=[own]))
        return core_v3.TransportSocket(name="envoy.transport_sockets.tls", typed_config=any_of(context))


def numbered(listener: listener_v3.Listener) -> Iterator[tuple[str, listener_v3.FilterChain]]:
    """Filter chains by what `Told.chain` calls them."""
    yield from ((str(place), chain) for place, chain in enumerate(listener.filter_chains))
    if listener.default_filter_chain is not None:
        yield "default", listener.default_filter_chain


def _without_waiting(routes: route_v3.RouteConfiguration) -> route_v3.RouteConfiguration:
    """The same routes, but that nothing is tried twice, no fault waited for, and no path rewritten that is logged."""
    changed = route_v3.RouteConfiguration.parse(encode(routes))
    changed.validate_clusters = False
    for route in (route for host in changed.virtual_hosts for route in host.routes):
        if route.route is not None:
            route.route.retry_policy, route.route.prefix_rewrite, route.route.regex_rewrite = None, "", None
        route.typed_per_filter_config = {}
    return changed


def _proxy_protocol() -> listener_v3.ListenerFilter:
    return listener_v3.ListenerFilter(
        name="envoy.filters.listener.proxy_protocol", typed_config=any_of(proxy_protocol_v3.ProxyProtocol())
    )


def _is_no_original_dst(each: listener_v3.ListenerFilter) -> bool:
    return not (each.typed_config and isinstance(each.typed_config.unpack(), original_dst_v3.OriginalDst))


def _in_tls(client: socket.socket, connection: Connection) -> socket.socket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if connection.alpn:
        context.set_alpn_protocols(list(connection.alpn))
    return context.wrap_socket(client, server_hostname=connection.server_name or None)


def _speak(client: socket.socket, request: Request | None) -> None:
    if request is None:
        client.sendall(NOT_HTTP)
        client.recv(1024)
        return
    lines = [f"{request.method} {request.path} HTTP/1.1", f"host: {request.authority}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    client.sendall("\r\n".join([*lines, "content-length: 0", "", ""]).encode())
    client.recv(65536)


def _told(lines: dict[str, dict[str, str]]) -> Told:
    """The filter's own word, else the listener's."""
    line = {
        key: value if value not in {None, "-"} else "" for key, value in lines.get("filter", lines["listener"]).items()
    }
    return Told(
        line["listener"], line["chain"], line["virtual_host"], line["route"], line["cluster"],
        int(line["status"] or 0), line["path"],
    )  # fmt: skip
