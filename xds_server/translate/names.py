"""Every name we mint, and its inverse: Istio's, because people and tools know them.

Source: Istio, pilot/pkg/model (BuildSubsetKey, BuildDNSSrvSubsetKey) and pilot/pkg/networking/core.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

BLACK_HOLE_CLUSTER = "BlackHoleCluster"
"""No endpoints: what is sent there fails."""
PASSTHROUGH_CLUSTER = "PassthroughCluster"
"""Outbound, to wherever the connection was going."""
INBOUND_PASSTHROUGH_CLUSTER = "InboundPassthroughCluster"
"""Inbound to a port that no policy names."""
DYNAMIC_DNS_CLUSTER = "AllowAnyDynamicDNSCluster"
"""Outbound in NONE mode: the request's own host, looked up in DNS."""

LOCAL_CLUSTER = "local_cluster"
"""In the bootstrap of a proxy that compares zones: the endpoints of its own service."""

VIRTUAL_OUTBOUND = "virtualOutbound"
VIRTUAL_INBOUND = "virtualInbound"
DNS_LISTENER = "dns"
PASSTHROUGH_FILTER_CHAIN = "PassthroughFilterChain"
VIRTUAL_OUTBOUND_BLACK_HOLE_CHAIN = "virtualOutbound-blackhole"
VIRTUAL_OUTBOUND_CATCH_ALL_CHAIN = "virtualOutbound-catchall-tcp"
VIRTUAL_INBOUND_BLACK_HOLE_CHAIN = "virtualInbound-blackhole"
VIRTUAL_INBOUND_CATCH_ALL_HTTP_CHAIN = "virtualInbound-catchall-http"

HTTP_PROXY_ROUTE = "http_proxy"
ALLOW_ANY = "allow_any"
"""Name of the catch-all virtual host that lets unknown hosts through."""
ALLOW_ANY_DYNAMIC_DNS = "allow_any_dynamic_dns"
"""The same, by DNS instead of by original destination."""
BLOCK_ALL = "block_all"
"""Name of the catch-all virtual host that refuses unknown hosts."""
GATEWAY_BLACK_HOLE = "blackhole:"
"""What the names of virtual hosts begin with that refuse all hosts of a router's port."""
DNS_CACHE = "dynamic_forward_proxy_cache_config"
"""The one DNS cache that DYNAMIC_DNS_CLUSTER and the filter before it share: Envoy wants one name in both."""

LOOPBACK_ADDRESS = "127.0.0.1"
WILDCARD_ADDRESS = "0.0.0.0"  # noqa: S104 - part of names; what a listener binds is decided in listener.py


_CREDENTIAL = "kubernetes://"


class Direction(enum.StrEnum):
    """Which way traffic goes, seen from the application."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class ClusterName(NamedTuple):
    """The parts of a cluster's name; `subset` and `host` are "" for inbound ones."""

    direction: Direction
    port: int
    subset: str
    host: str

    def __str__(self) -> str:
        return f"{self.direction}|{self.port}|{self.subset}|{self.host}"


def outbound_cluster(port: int, subset: str, host: str) -> str:
    """`outbound|80|v1|worker-service`; `subset` is "" for the whole service."""
    return str(ClusterName(Direction.OUTBOUND, port, subset, host))


def inbound_cluster(port: int) -> str:
    """`inbound|8080||`, by the workload's port; its RouteConfiguration bears the same name."""
    return str(ClusterName(Direction.INBOUND, port, "", ""))


def parse_cluster(name: str) -> ClusterName | None:
    """The inverse of the two above; None for a name that neither makes, such as `PassthroughCluster`."""
    parts = name.split("|")
    if len(parts) != 4 or parts[0] not in set(Direction) or not parts[1].isdecimal():
        return None
    return ClusterName(Direction(parts[0]), int(parts[1]), parts[2], parts[3])


def outbound_sni(port: int, subset: str, host: str) -> str:
    """`outbound_.80_.v1_.worker-service`: the server name that mesh mTLS puts in its ClientHello."""
    return f"outbound_.{port}_.{subset}_.{host}"


def parse_outbound_sni(name: str) -> ClusterName | None:
    """The inverse of `outbound_sni`; None for a name that it does not make."""
    parts = name.split("_.", 3)
    if len(parts) != 4 or parts[0] != "outbound" or not parts[1].isdecimal():
        return None
    return ClusterName(Direction.OUTBOUND, int(parts[1]), parts[2], parts[3])


def alt_stat_name(cluster: str) -> str:
    """What a cluster is called in statistics; the semicolon tells Istio's tag patterns where the name ends."""
    return f"{cluster};"


def listener(address: str, port: int) -> str:
    """`0.0.0.0_80`, `10.0.0.1_3306`; also the name of an inbound filter chain, by the workload's port."""
    return f"{address or WILDCARD_ADDRESS}_{port}"


def parse_listener(name: str) -> tuple[str, int] | None:
    """The (address, port) of `listener`; None for a name that it does not make, such as `virtualInbound`."""
    address, _, port = name.rpartition("_")
    return (address, int(port)) if address and port.isdecimal() else None


def outbound_route(port: int) -> str:
    """`80`: the RouteConfiguration that all HTTP services on one port share."""
    return str(port)


def sniffed_route(host: str, port: int) -> str:
    """`db.example.com:3306`: the RouteConfiguration of one service on a port whose protocol is detected."""
    return f"{host}:{port}"


def virtual_host(host: str, port: int) -> str:
    """`worker-service:80`."""
    return f"{host}:{port}"


def inbound_virtual_host(port: int) -> str:
    """`inbound|http|80`, by the service's port."""
    return f"{Direction.INBOUND}|http|{port}"


def split_host_port(name: str) -> tuple[str, int] | None:
    """The (host, port) of `sniffed_route` and `virtual_host`; None for a name without a port."""
    host, _, port = name.rpartition(":")
    return (host, int(port)) if host and port.isdecimal() else None


def http_stat_prefix(direction: Direction, address: str, port: int) -> str:
    """`outbound_0.0.0.0_80;`: what an HTTP connection manager is called in statistics."""
    return f"{direction}_{listener(address, port)};"


def parse_http_stat_prefix(prefix: str) -> tuple[Direction, int] | None:
    """The (direction, port) of `http_stat_prefix`, with or without its semicolon; None for what it does not make."""
    direction, _, rest = prefix.removesuffix(";").partition("_")
    found = parse_listener(rest)
    return (Direction(direction), found[1]) if found and direction in set(Direction) else None


def file_certificate(certificate: str, key: str) -> str:
    """`file-cert:/etc/certs/a.crt~/etc/certs/a.key`: a certificate and its key in files of the proxy, as a secret."""
    return f"file-cert:{certificate}~{key}"


def file_roots(path: str, revoked: str = "") -> str:
    """`file-root:/etc/certs/ca.crt`: authorities in a file of the proxy, with those they revoked, as a secret."""
    return f"file-root:{path}~{revoked}" if revoked else f"file-root:{path}"


def credential(name: str) -> str:
    """`kubernetes://shop`, `kubernetes://shop-cacert`: a credential, or its authorities, as Istio calls a secret."""
    return f"{_CREDENTIAL}{name}"


def parse_credential(name: str) -> str | None:
    """The inverse of `credential`; None for another secret's name."""
    return name.removeprefix(_CREDENTIAL) if name.startswith(_CREDENTIAL) else None


def gateway_http_route(port: int, bind: str = "") -> str:
    """`http.80`, `http.80.10.0.0.1`: all plain HTTP servers on one port share it."""
    return f"http.{port}.{bind}" if bind else f"http.{port}"


def gateway_https_route(port: int, port_name: str, gateway: str, bind: str = "") -> str:
    """`https.443.https.edge.default`: one HTTPS server's; `gateway` is "namespace/name"."""
    namespace, _, name = gateway.partition("/")
    found = f"https.{port}.{port_name}.{name}.{namespace}"
    return f"{found}.{bind}" if bind else found


def gateway_black_hole(port: int) -> str:
    """`blackhole:80`: the virtual host of a port on which nothing is routed."""
    return f"{GATEWAY_BLACK_HOLE}{port}"


def config_path(kind: str, namespace: str, name: str) -> str:
    """The `config` of `filter_metadata.istio`: which document made this, in the form that istioctl reads."""
    return f"/apis/networking.istio.io/v1/namespaces/{namespace}/{kind}/{name}"
