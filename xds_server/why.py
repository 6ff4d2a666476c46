"""`xds-server why`: a request as somebody would make it in, the way that it takes and the policies behind it out."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence

from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.errors import ConfigurationError
from xds_server.explain.held import Held, held
from xds_server.explain.target import NOT_FOUND, TO_HTTPS, TO_PATH, Fate, Target
from xds_server.explain.traffic import HTTP_1, Connection, Request
from xds_server.explain.way import Turn, Way, way_of
from xds_server.ip_address import is_ip_address
from xds_server.mesh.workload import Interception, NodeType, Workload
from xds_server.problem import Origin
from xds_server.translate import names
from xds_server.xds import type_url
from xds_server.xds.snapshot import Snapshot

ELSEWHERE = "192.0.2.1"
"""An address that nobody has (RFC 5737): where a name leads that no service has an address for."""
_PORTS = {"http": 80, "https": 443, "tcp": 0}
"""By scheme; of `tcp`, whose bytes are neither HTTP nor TLS, a URL names its port."""


def asked(url: str, method: str, headers: Sequence[str]) -> Request:
    """The request for `url`.

    Raises:
        ConfigurationError: it is no URL of these schemes, or a header is none.
    """
    parts = _split(url)
    if parts is None or parts.scheme not in _PORTS or not parts.hostname or not _has_sound_port(parts):
        raise ConfigurationError(f"{url!r} is no URL; write one such as http://reviews:9080/path or tcp://db:3306")
    path = parts._replace(scheme="", netloc="", fragment="").geturl()
    return Request(parts.netloc, path or "/", method, parts.scheme, tuple(_header(text) for text in headers))


def explained(snapshot: Snapshot, workload: Workload, request: Request, address: str = "") -> dict[str, object]:
    """The way of a request that `workload` sends (that is sent to it, for a router), as plain values.

    Args:
        snapshot: what the proxy of `workload` was sent.
        workload: who calls.
        request: what it asks for.
        address: where the host's name leads; "" is nowhere in particular.

    Raises:
        ConfigurationError: `address` is none.
    """
    if address and not is_ip_address(address):
        raise ConfigurationError(f"--address {address!r} is no IP address")
    proxy = held(snapshot)
    connection = _connection(proxy, workload, request, address)
    way = way_of(proxy, connection, None if request.scheme == "tcp" else request)
    return {
        "listener": way.listener.name if way.listener else "nobody listens there",
        "filter_chain": _chain(way),
        "routes": way.routes,
        "virtual_host": way.virtual_host.name if way.virtual_host else "",
        "path": way.path,
        "ends": [_end(turn, way, snapshot, proxy) | _note(turn, way, connection) for turn in way.turns],
    }


def _split(url: str) -> urllib.parse.SplitResult | None:
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:  # of brackets that hold no address
        return None


def _has_sound_port(parts: urllib.parse.SplitResult) -> bool:
    try:
        return bool(_PORTS[parts.scheme] if parts.port is None else parts.port)
    except ValueError:
        return False


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not name or not colon:
        raise ConfigurationError(f"--header {text!r} is none; write 'NAME: VALUE', such as 'end-user: jason'")
    return name.strip().lower(), value.strip()


def _connection(proxy: Held, workload: Workload, request: Request, address: str) -> Connection:
    where = urllib.parse.urlsplit(f"//{request.authority}")
    port = where.port or _PORTS[request.scheme]
    tls = request.scheme == "https"
    to, at, capturing = address or ELSEWHERE, port, None
    if workload.node_type is NodeType.ROUTER:
        to = address or names.LOOPBACK_ADDRESS
    elif workload.interception is Interception.REDIRECT:
        capturing = next((_port(each) for each in proxy.listeners if each.use_original_dst), None)
    else:
        to, at = address or workload.bind_address, port if tls or address else workload.http_proxy_port or port
    name = where.hostname or ""
    return Connection(
        to, at, capturing, tls=tls, server_name=name if tls else "", http=HTTP_1 if request.scheme == "http" else ""
    )


def _port(listener: listener_v3.Listener) -> int | None:
    where = listener.address.socket_address if listener.address else None
    return where.port_value if where else None


def _chain(way: Way) -> str:
    if way.chain is None:
        return ""
    return way.chain.name or "without a name"


def _end(turn: Turn, way: Way, snapshot: Snapshot, proxy: Held) -> dict[str, object]:
    found: dict[str, object] = {"share": f"{float(turn.share * 100):g} %"}
    if turn.route is not None:
        found |= {"route": turn.route.name, "policies": [str(each) for each in _origins(turn.route, way, snapshot)]}
    return found | {"fate": str(turn.target.fate)} | _details(turn.target, snapshot, proxy)


def _details(target: Target, snapshot: Snapshot, proxy: Held) -> dict[str, object]:
    clusters = [
        {"name": name, "weight": weight}
        | ({"policies": [str(each) for each in made.origins]} if made and made.origins else {})
        | ({} if name in proxy.clusters else {"missing": True})
        for name, weight in target.clusters
        for made in [snapshot.of_type(type_url.CLUSTER).get(name)]
    ]
    given = {"clusters": clusters, "mirrors": list(target.mirrors), "status": target.status}
    return {key: value for key, value in given.items() if value}


def _note(turn: Turn, way: Way, connection: Connection) -> dict[str, object]:
    """Why it ends so, where no policy says it."""
    note = next((text for holds, text in _notes(turn, way, connection) if holds), "")
    return {"note": note} if note else {}


def _notes(turn: Turn, way: Way, connection: Connection) -> Iterator[tuple[bool, str]]:
    """(whether it holds, what is to be said then), of which the first that holds counts."""
    target, route = turn.target, turn.route.name if turn.route else ""
    clusters = {name for name, _ in target.clusters}
    yield way.listener is None, f"nobody listens on {connection.address} port {connection.port}"
    yield (
        way.chain is None,
        "no filter chain is for such a connection: for its server name (SNI), its protocol or its address",
    )
    reads = "TLS" if way.chain and way.chain.transport_socket else "HTTP"
    yield target.fate is Fate.CLOSE, f"the proxy reads {reads} here, and this is none"
    yield (
        target is TO_HTTPS,
        "plain requests for this host are sent to HTTPS: httpsRedirect of the Gateway's server",
    )
    yield (
        target is TO_PATH,
        f"encoded slashes: whoever asks is sent to {way.path} (httpPathWithEscapedSlashesAction)",
    )
    yield bool(way.routes) and not way.path, "refused for its path or a header before any route is looked at"
    host = way.virtual_host.name if way.virtual_host else ""
    yield target is NOT_FOUND, "no route of this host takes it" if host else "no virtual host is for this host"
    yield host.startswith(names.GATEWAY_BLACK_HOLE), "no VirtualService routes anything on this port"
    yield (
        route == names.BLOCK_ALL,
        "no service has this host on this port, and outboundTrafficPolicy is REGISTRY_ONLY",
    )
    yield (
        route == names.ALLOW_ANY,
        "no service has this host on this port: outboundTrafficPolicy ALLOW_ANY lets it through",
    )
    yield (
        route == names.ALLOW_ANY_DYNAMIC_DNS,
        "no service has this host on this port: outboundTrafficPolicy ALLOW_ANY sends it where DNS says",
    )
    yield (
        names.PASSTHROUGH_CLUSTER in clusters,
        "no service has this address and port, or this is not its protocol: it goes where it was going",
    )
    yield (
        names.BLACK_HOLE_CLUSTER in clusters,
        f"{names.BLACK_HOLE_CLUSTER} leads nowhere: for what has no service, or no such port or subset of one",
    )


def _origins(route: route_v3.Route, way: Way, snapshot: Snapshot) -> tuple[Origin, ...]:
    """The document that a route was written in; for a generated one, those of its service."""
    resource = snapshot.of_type(type_url.ROUTE).get(way.routes)
    host = way.virtual_host.name if way.virtual_host else ""
    part = next((each for each in (resource.parts if resource else ()) if each.name == host), None)
    if part is None:
        return ()
    paths = {names.config_path("virtual-service", each.namespace, each.name): each for each in part.origins}
    written = paths.get(_config(route))
    return (written,) if written else part.service_origins


def _config(route: route_v3.Route) -> str:
    istio = route.metadata.filter_metadata.get("istio") if route.metadata else None
    value = istio.fields.get("config") if istio else None
    return (value.string_value or "") if value else ""
