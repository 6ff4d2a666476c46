"""What the whole mesh says to every proxy alike (MeshConfig), with Istio's defaults."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta

from xds_server.mesh.route import Retry


class PathNormalization(enum.StrEnum):
    """What is done to the path of a request before routes and policies see it; each does what those before it do."""

    NONE = "NONE"
    BASE = "BASE"
    """`/a/../b` is `/b` (RFC 3986)."""
    MERGE_SLASHES = "MERGE_SLASHES"
    """`/a//b` is `/a/b`."""
    DECODE_AND_MERGE_SLASHES = "DECODE_AND_MERGE_SLASHES"
    """`/a%2Fb` is `/a/b`."""


@dataclass(frozen=True, slots=True)
class TlsLimits:
    """Which TLS is spoken, where nothing nearer says it.

    Attributes:
        min_version: "TLSV1_3", or "" for the default.
        ciphers, curves: () is the default.
    """

    min_version: str = ""
    ciphers: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()


class ForwardedCert(enum.StrEnum):
    """What becomes of X-Forwarded-Client-Cert, the header that says whose certificates a request came with."""

    SANITIZE = "SANITIZE"
    """It is taken off."""
    FORWARD_ONLY = "FORWARD_ONLY"
    """It is believed and passed on, where the caller has shown a certificate."""
    APPEND_FORWARD = "APPEND_FORWARD"
    """The same, with what the caller has shown added."""
    SANITIZE_SET = "SANITIZE_SET"
    """It says what the caller has shown and nothing else."""
    ALWAYS_FORWARD_ONLY = "ALWAYS_FORWARD_ONLY"
    """It is believed whoever sends it."""


@dataclass(frozen=True, slots=True)
class Topology:
    """What stands in front of routers.

    Attributes:
        trusted_proxies: how many of the last addresses in X-Forwarded-For are believed.
        proxy_protocol: every connection begins with a PROXY header, and one without is closed.
    """

    trusted_proxies: int = 0
    forwarded_cert: ForwardedCert = ForwardedCert.SANITIZE_SET
    proxy_protocol: bool = False


class Underscores(enum.StrEnum):
    """What becomes of headers with underscores in their names, which some applications take for hyphens."""

    ALLOW = "ALLOW"
    REJECT_REQUEST = "REJECT_REQUEST"
    DROP_HEADER = "DROP_HEADER"


class EscapedSlashes(enum.StrEnum):
    """What becomes of `%2F` in paths."""

    KEEP_UNCHANGED = "KEEP_UNCHANGED"
    REJECT_REQUEST = "REJECT_REQUEST"
    UNESCAPE_AND_REDIRECT = "UNESCAPE_AND_REDIRECT"
    UNESCAPE_AND_FORWARD = "UNESCAPE_AND_FORWARD"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Of connections from callers, and the requests on them; None is Envoy's default.

    Attributes:
        buffer: bytes held for a connection; of routers alone.
        idle, max_connection, drain: of connections that carry requests.
        request, request_headers, stream_idle, max_stream: of requests.
        streams, stream_window, connection_window: of HTTP/2.
        merge_slashes, escaped_slashes: before what `PathNormalization` says; None is what that says.
    """

    buffer: int | None = None
    idle: timedelta | None = None
    max_connection: timedelta | None = None
    drain: timedelta | None = None
    request: timedelta | None = None
    request_headers: timedelta | None = None
    stream_idle: timedelta = timedelta(0)
    max_stream: timedelta | None = None
    streams: int | None = None
    stream_window: int | None = None
    connection_window: int | None = None
    underscores: Underscores | None = None
    merge_slashes: bool | None = None
    escaped_slashes: EscapedSlashes | None = None


NO_LIMITS = ConnectionLimits()
"""Istio's."""
EDGE_LIMITS = ConnectionLimits(
    buffer=32 * 1024,
    idle=timedelta(hours=1),
    request=timedelta(minutes=5),
    request_headers=timedelta(minutes=1),
    stream_idle=timedelta(minutes=5),
    streams=100,
    stream_window=64 * 1024,
    connection_window=1024 * 1024,
    underscores=Underscores.REJECT_REQUEST,
    merge_slashes=True,
    escaped_slashes=EscapedSlashes.UNESCAPE_AND_REDIRECT,
)
"""Envoy's advice for proxies that strangers reach, as Istio's profile EDGE has it."""


@dataclass(frozen=True, slots=True)
class ToldOfCaller:
    """What of its caller's certificate an application is told."""

    subject: bool = True
    cert: bool = False
    chain: bool = False
    dns: bool = True
    uri: bool = True


@dataclass(frozen=True, slots=True)
class ProxyHeaders:
    """Headers that proxies add, change or take off.

    Attributes:
        server: the Server of answers; "" is the proxy's own, None what whoever answered has said.
        request_id: X-Request-Id is given to requests that have none.
        attempt_count: X-Envoy-Attempt-Count tells which try a request is.
        envoy_headers: others that begin with X-Envoy.
        forwarded_cert, told_of_caller: towards applications; a router has its `Topology`.
        original_host: X-Forwarded-Host keeps a host that a route rewrites.
        port: X-Forwarded-Port tells where the caller connected to.
        keeps_case: names of headers are spelt in HTTP/1 as they came, and not in small letters.
    """

    server: str | None = ""
    request_id: bool = True
    attempt_count: bool = True
    envoy_headers: bool = True
    forwarded_cert: ForwardedCert = ForwardedCert.APPEND_FORWARD
    told_of_caller: ToldOfCaller = ToldOfCaller()
    original_host: bool = False
    port: bool = False
    keeps_case: bool = False


ISTIO_HEADERS = ProxyHeaders()
"""What holds without a MeshConfig."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """One for all proxies.

    Attributes:
        detection_timeout: how long a caller may keep a sidecar waiting for the first bytes; 0 is for ever. When it has
            passed, whatever comes is taken for plain bytes.
        outbound_port, inbound_port: where captured connections come to.
        to_loopback: captured connections go to the application on 127.0.0.1, not where they were addressed.
        inbound_retry: towards the application; None is never.
        inbound_stat_name, outbound_stat_name: patterns of what clusters are called in statistics; "" is their names.
        dns_refresh: how often names are looked up again; None is translation's default.
        mesh_tls, other_tls: limits of mesh TLS, and of any other.
        topology: for routers alone.
        limits, router_limits: of connections to sidecars, and to routers.
    """

    path_normalization: PathNormalization = PathNormalization.BASE
    detection_timeout: timedelta = timedelta(0)
    outbound_port: int = 15001
    inbound_port: int = 15006
    to_loopback: bool = False
    inbound_retry: Retry | None = Retry(conditions=("reset-before-request",), ignore_previous_hosts=False)
    inbound_stat_name: str = ""
    outbound_stat_name: str = ""
    dns_refresh: timedelta | None = None
    mesh_tls: TlsLimits = TlsLimits()
    other_tls: TlsLimits = TlsLimits()
    topology: Topology = Topology()
    headers: ProxyHeaders = ISTIO_HEADERS
    limits: ConnectionLimits = NO_LIMITS
    router_limits: ConnectionLimits = NO_LIMITS

    def __hash__(self) -> int:
        """Of what differs most: it is part of the key of every listener, and a mesh has one of these."""
        return hash((self.path_normalization, self.outbound_port, self.inbound_port, self.outbound_stat_name))


ISTIO_SETTINGS = ProxySettings()
"""What holds without a MeshConfig."""
