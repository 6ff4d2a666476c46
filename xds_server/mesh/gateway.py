"""What a router opens to the outside: ports, who may come in by which host, and where they go then.

A Gateway says what is open, VirtualServices that name it say where requests go. Which servers can stand on one port
together is decided here, once for the compiler, which tells the authors, and for the views of routers alike.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from xds_server.mesh.credential import roots_name
from xds_server.mesh.route import Backend, ConnectionMatch, ConnectionRoute, Destination, Match, Route
from xds_server.mesh.service import Labels, Port, Service
from xds_server.problem import Origin


class ServerTlsMode(enum.StrEnum):
    """What a server does with TLS."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"


@dataclass(frozen=True, slots=True)
class ServerTls:
    """TLS towards clients.

    Attributes:
        credentials: names in the secrets directory; two are an RSA and an ECDSA certificate.
        roots_credential: the name whose certificates are believed of clients; "" for that of the first credential.
        files: (certificate, key) paths on the router; exclude `credentials`.
        roots_file, revoked_file: paths on the router, "" for none.
        takes_any: a client's certificate is looked at, and the client let in whatever it is.
        min_version, max_version: "TLSV1_2" and so on; "" is the default.
    """

    mode: ServerTlsMode
    credentials: tuple[str, ...] = ()
    roots_credential: str = ""
    files: tuple[tuple[str, str], ...] = ()
    roots_file: str = ""
    revoked_file: str = ""
    subject_alt_names: tuple[str, ...] = ()
    spki_hashes: tuple[str, ...] = ()
    certificate_hashes: tuple[str, ...] = ()
    takes_any: bool = False
    min_version: str = ""
    max_version: str = ""
    cipher_suites: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()

    @property
    def asks_client(self) -> bool:
        """Whether clients are asked for a certificate."""
        return self.mode in {ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL, ServerTlsMode.ISTIO_MUTUAL}

    @property
    def terminates(self) -> bool:
        """Whether the router itself ends the TLS."""
        return self.mode not in {ServerTlsMode.PASSTHROUGH, ServerTlsMode.AUTO_PASSTHROUGH}

    @property
    def needed(self) -> tuple[str, ...]:
        """What of the secrets directory it needs (see `CredentialSet.names`): certificates, and authorities last."""
        return (*self.credentials, *([self.roots] if self.roots else []))

    @property
    def roots(self) -> str:
        """What the authorities that clients are to be of are called in the secrets directory; "" for none there."""
        name = self.roots_credential or next(iter(self.credentials), "")
        by_name = self.mode in {ServerTlsMode.MUTUAL, ServerTlsMode.OPTIONAL_MUTUAL} and not self.roots_file
        return roots_name(name) if name and by_name else ""


@dataclass(frozen=True, slots=True)
class Server:
    """One port of a Gateway.

    Attributes:
        gateway: "namespace/name" of the Gateway.
        index: its place among the Gateway's servers.
        bind: address, "" for all.
        hosts: (namespace of VirtualServices or "*", host or pattern).
        tls: None for plain connections.
        https_redirect: plain HTTP is answered with a redirect.
        name: for statistics, "" for none.
    """

    gateway: str
    index: int
    port: Port
    hosts: tuple[tuple[str, str], ...]
    bind: str = ""
    tls: ServerTls | None = None
    https_redirect: bool = False
    name: str = ""
    origin: Origin | None = None

    @property
    def reads_http(self) -> bool:
        """Whether requests are routed one by one."""
        if self.tls is None:
            return self.port.protocol.is_http
        return self.tls.terminates and self.port.protocol == "HTTPS"

    @property
    def server_names(self) -> tuple[str, ...]:
        """Whom a TLS client may ask for; () for anybody."""
        names = tuple(dict.fromkeys(host for _, host in self.hosts))
        return () if "*" in names else names

    @property
    def passes_by_name(self) -> bool:
        """Whether mesh TLS is passed on to the service that its server name says, without any VirtualService."""
        return self.tls is not None and self.tls.mode is ServerTlsMode.AUTO_PASSTHROUGH

    def lets_in(self, service: Service) -> bool:
        """Whether a service is among its hosts."""
        return any(narrower(each, service.host) == service.host for each in self.hosts_for(service.namespace))

    def hosts_for(self, namespace: str) -> Iterator[str]:
        """The hosts that VirtualServices of `namespace` may speak for."""
        return (host for where, host in self.hosts if where in {"*", namespace})


@dataclass(frozen=True, eq=False)
class Gateway:
    """One Gateway document. By identity.

    Attributes:
        selector: labels of its routers, whatever their namespace; () is every router.
    """

    namespace: str
    name: str
    selector: Labels
    servers: tuple[Server, ...]
    origin: Origin | None = None


@dataclass(frozen=True, eq=False)
class GatewayRoutes:
    """The rules of one VirtualService that names gateways, as the routers of one namespace see them. By identity.

    Attributes:
        namespace: of the VirtualService.
        hosts: as written, in lower case.
        routes, connections: each with the gateways that it is for.
    """

    namespace: str
    hosts: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    connections: tuple[ConnectionRoute, ...] = ()

    @cached_property
    def source_keys(self) -> frozenset[str]:
        """Labels of the router that some rule asks for."""
        return frozenset(key for match in self._matches for key, _ in match.source_labels)

    @cached_property
    def asks_namespace(self) -> bool:
        """Whether some rule asks for the namespace of the router."""
        return any(match.source_namespace for match in self._matches)

    @property
    def _matches(self) -> tuple[Match | ConnectionMatch, ...]:
        return (*(route.match for route in self.routes), *(route.match for route in self.connections))

    def destinations(self, gateway: str) -> Iterator[Destination]:
        """What the rules for one gateway send to, mirrors included."""
        for route in self.routes:
            if gateway in route.match.gateways:
                yield from (weighted.destination for weighted in route.destinations)
                yield from (mirror.destination for mirror in route.mirrors)
        for connection in self.connections:
            if gateway in connection.match.gateways:
                yield from (weighted.destination for weighted in connection.destinations)


@dataclass(frozen=True, slots=True)
class Router:
    """What a router's view holds besides services.

    Attributes:
        gateways: those that select it, in order of precedence.
        routes: by gateway ("namespace/name"), in order of precedence; only gateways that have some.
        ports: (port of a Gateway, where the router listens for it), where these are not the same alone.
        credentials: names in the secrets directory that are there, of those that `gateways` name, and the rules of
            services that it sends to.
        by_name: the services of the mesh that some server passes mesh TLS on to by name, sorted by host.
    """

    gateways: tuple[Gateway, ...]
    routes: tuple[tuple[str, tuple[GatewayRoutes, ...]], ...] = ()
    ports: tuple[tuple[int, tuple[int, ...]], ...] = ()
    credentials: frozenset[str] = frozenset()
    by_name: tuple[Backend, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A server that cannot stand on its port, because of another that was there before."""

    server: Server
    other: Server
    reason: str


def open_ports(
    gateways: Iterable[Gateway], listens: Mapping[int, tuple[int, ...]] = MappingProxyType({})
) -> tuple[dict[tuple[str, int], tuple[Server, ...]], tuple[Refusal, ...]]:
    """(bind, port where a router listens) to the servers there, and those that find no place.

    `listens` has the ports where a router listens for one of a Gateway; what it lacks is listened for where it says.

    Plain HTTP servers share a port; TLS servers do when their hosts differ, and a plain one may come after them. After
    a plain server nothing but more plain HTTP can come (Istio's rules; it drops the others in silence).
    """
    opened: dict[tuple[str, int], list[Server]] = {}
    refused = []
    for server in (server for gateway in gateways for server in gateway.servers):
        for where in listens.get(server.port.number, (server.port.number,)):
            there = opened.setdefault((server.bind, where), [])
            refusal = _refusal(server, there)
            if refusal is None:
                there.append(server)
            else:
                refused.append(refusal)
    return {where: tuple(servers) for where, servers in opened.items()}, tuple(refused)


def _refusal(server: Server, there: Sequence[Server]) -> Refusal | None:
    plain = next((other for other in there if other.tls is None), None)
    if server.tls is None:
        if plain is None or (plain.reads_http and server.reads_http):
            return None
        return Refusal(server, plain, "plain connections of two kinds cannot be told apart")
    if plain is not None:
        return Refusal(server, plain, "the port is plain already")
    mine = {host for _, host in server.hosts}
    for other in there:
        if shared := sorted(mine & {host for _, host in other.hosts}):
            return Refusal(server, other, f"{shared[0]} is served there already")
    return None


def narrower(host: str, other: str) -> str | None:
    """The narrower of two hosts or patterns of which one covers the other; None when neither does."""
    if _covers(host, other):
        return other
    return host if _covers(other, host) else None


def _covers(pattern: str, host: str) -> bool:
    return pattern == host or (pattern.startswith("*") and host.removeprefix("*").endswith(pattern[1:]))
