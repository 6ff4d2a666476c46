"""Envoy's statistics: which of them are asked for, and what each tells of which traffic.

A caller's proxy is asked about its clusters, one for each service and subset; the proxy of who is called about each of
its ports. `PATTERNS` and `stat` are two readings of one table, so that proxies send what is understood here and little
else. Of what is sent, `upstream_rq_Nxx` counts each request once, by its last answer, however often it was tried.
Sources: Envoy, Upstreams > Clusters > Statistics, HTTP connection manager > Statistics, TCP proxy > Statistics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from xds_server.signals.quantity import GRPC_RESPONSES, RESPONSES, Count, Latency, Level, Quantity
from xds_server.translate import names


@dataclass(frozen=True, slots=True)
class Called:
    """The service that a proxy calls for its application; `subset` is "" for the whole service."""

    service: str
    subset: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """A port of the proxy's own application; 0 is every port that no service has."""

    port: int


@dataclass(frozen=True, slots=True)
class Stat:
    """What one statistic tells."""

    of: Called | Served
    quantity: Quantity


_GRPC: Mapping[str, Quantity] = {f"grpc.{code}": count for code, count in GRPC_RESPONSES.items()}
"""One for each call that ended, by its last answer, of whatever cluster it went to. Not those of which a server makes a
status of its own, for then it would make statistics."""
_TO_SERVICE: Mapping[str, Quantity] = {
    **{f"upstream_rq_{group}": count for group, count in RESPONSES.items()},
    **_GRPC,
    "upstream_rq_time": Latency.DURATION,
    "upstream_rq_active": Level.ACTIVE_REQUESTS,
    "upstream_rq_pending_active": Level.PENDING_REQUESTS,
    "upstream_rq_retry": Count.RETRIES,
    "upstream_rq_timeout": Count.TIMEOUTS,
    "upstream_rq_per_try_timeout": Count.TIMEOUTS,
    "upstream_rq_pending_overflow": Count.REQUESTS_REFUSED,
    "upstream_rq_active_overflow": Count.REQUESTS_REFUSED,
    "upstream_rq_retry_overflow": Count.RETRIES_REFUSED,
    "upstream_cx_overflow": Count.CONNECTIONS_REFUSED,
    "upstream_cx_active": Level.ACTIVE_CONNECTIONS,
    "upstream_cx_total": Count.CONNECTIONS,
    "upstream_cx_connect_fail": Count.CONNECT_FAILURES,
    "upstream_cx_tx_bytes_total": Count.REQUEST_BYTES,
    "upstream_cx_rx_bytes_total": Count.RESPONSE_BYTES,
    "ssl.handshake": Count.TLS_CONNECTIONS,
    "outlier_detection.ejections_active": Level.EJECTED_ENDPOINTS,
    "outlier_detection.ejections_enforced_total": Count.EJECTIONS,
}
_TO_APPLICATION: Mapping[str, Quantity] = {
    name: _TO_SERVICE[name]
    for name in (
        "upstream_rq_1xx",
        *_GRPC,
        "upstream_rq_pending_active",
        "upstream_rq_retry",
        "upstream_rq_pending_overflow",
        "upstream_rq_active_overflow",
        "upstream_rq_retry_overflow",
        "upstream_cx_overflow",
        "upstream_cx_connect_fail",
    )
}
"""Between the proxy and its own application; callers are counted as they come in, but for two things: how gRPC ended,
which is told of clusters only, and 101, which begins another protocol: of what was sent to callers, 1xx is also the 100
by which Envoy has a body sent, and so no last answer."""
_FROM_CALLER_HTTP: Mapping[str, Quantity] = {
    **{f"downstream_rq_{group}": count for group, count in RESPONSES.items() if count is not Count.RESPONSES_1XX},
    "downstream_rq_time": Latency.DURATION,
    "downstream_rq_active": Level.ACTIVE_REQUESTS,
    "downstream_cx_active": Level.ACTIVE_CONNECTIONS,
    "downstream_cx_total": Count.CONNECTIONS,
    "downstream_cx_ssl_total": Count.TLS_CONNECTIONS,
    "downstream_cx_rx_bytes_total": Count.REQUEST_BYTES,
    "downstream_cx_tx_bytes_total": Count.RESPONSE_BYTES,
}
_FROM_CALLER_TCP: Mapping[str, Quantity] = {
    "downstream_cx_total": Count.OPAQUE_CONNECTIONS,
    "downstream_cx_rx_bytes_total": Count.REQUEST_BYTES,
    "downstream_cx_tx_bytes_total": Count.RESPONSE_BYTES,
}
_OTHER_PORTS = Served(0)
_UNNAMED = (names.PASSTHROUGH_CLUSTER, names.DYNAMIC_DNS_CLUSTER)
"""Clusters for hosts that no service is; they stand for their destination, as in Istio."""
_OF_THE_PROXY = ("cluster_manager", "listener_manager", "control_plane", "server", "cluster.xds-grpc")
"""Kept for people who look at the proxy itself, as in Istio: a few dozen, however large the mesh."""


def _any_of(suffixes: Iterable[str]) -> str:
    return f"({'|'.join(map(re.escape, suffixes))})"


PATTERNS: tuple[str, ...] = (
    rf"cluster\.(outbound\|.*;|{'|'.join(_UNNAMED)})\.{_any_of(_TO_SERVICE)}",
    rf"cluster\.(inbound\|.*;|{names.INBOUND_PASSTHROUGH_CLUSTER})\.{_any_of(_TO_APPLICATION)}",
    rf"http\.inbound_.*;\.{_any_of(_FROM_CALLER_HTTP)}",
    rf"tcp\.(inbound\|.*\||{names.INBOUND_PASSTHROUGH_CLUSTER})\.{_any_of(_FROM_CALLER_TCP)}",
    rf"({'|'.join(map(re.escape, _OF_THE_PROXY))})\..*",
    r"(cluster|listener)\..*\.ssl\.(handshake|connection_error|fail_verify_.*)",
)
"""Regular expressions, each for a whole name, of the statistics that a proxy is to keep."""


def stat(name: str) -> Stat | None:
    """What the statistic of that name tells; None for one that tells nothing here."""
    kind, _, rest = name.partition(".")
    reading = _READINGS.get(kind)
    return reading(rest) if reading else None


def _of_cluster(rest: str) -> Stat | None:
    alternative, mark, suffix = rest.rpartition(";.")
    if not mark:
        name, _, suffix = rest.partition(".")
        if name == names.INBOUND_PASSTHROUGH_CLUSTER:
            return _stat(_OTHER_PORTS, _TO_APPLICATION, suffix)
        return _stat(Called(name), _TO_SERVICE, suffix) if name in _UNNAMED else None
    cluster = names.parse_cluster(alternative)
    if cluster is None:
        return None
    if cluster.direction is names.Direction.OUTBOUND:
        return _stat(Called(cluster.host, cluster.subset), _TO_SERVICE, suffix)
    return _stat(Served(cluster.port), _TO_APPLICATION, suffix)


def _of_http(rest: str) -> Stat | None:
    prefix, _, suffix = rest.partition(";.")
    found = names.parse_http_stat_prefix(prefix)
    if found is None or found[0] is not names.Direction.INBOUND:
        return None
    return _stat(Served(found[1]), _FROM_CALLER_HTTP, suffix)


def _of_tcp(rest: str) -> Stat | None:
    prefix, _, suffix = rest.rpartition(".")
    if prefix == names.INBOUND_PASSTHROUGH_CLUSTER:
        return _stat(_OTHER_PORTS, _FROM_CALLER_TCP, suffix)
    cluster = names.parse_cluster(prefix)
    if cluster is None or cluster.direction is not names.Direction.INBOUND:
        return None
    return _stat(Served(cluster.port), _FROM_CALLER_TCP, suffix)


_READINGS = {"cluster": _of_cluster, "http": _of_http, "tcp": _of_tcp}


def _stat(of: Called | Served, quantities: Mapping[str, Quantity], suffix: str) -> Stat | None:
    quantity = quantities.get(suffix)
    return None if quantity is None else Stat(of, quantity)
