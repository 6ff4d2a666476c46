"""What reaches a proxy: a connection, and perhaps a request on it, as plain values. Knows nothing of configurations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HTTP_1 = "http/1.1"
"""What Envoy's HTTP inspector calls it."""
_KNOWN = "accept accept-encoding access-control-request-headers access-control-request-method authorization \
cache-control content-encoding content-type expect grpc-timeout if-match if-modified-since if-none-match if-range \
if-unmodified-since origin pragma referer user-agent via x-client-trace-id x-envoy-attempt-count \
x-envoy-decorator-operation x-envoy-downstream-service-cluster x-envoy-downstream-service-node \
x-envoy-external-address x-envoy-is-timeout-retry x-envoy-original-host x-envoy-original-path x-forwarded-for \
x-forwarded-host x-forwarded-port x-forwarded-proto x-request-id"
JOINED = frozenset(_KNOWN.split())
"""Headers that Envoy 1.40 knows by name (asked of it, each by itself): several values are one, with commas between."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A TCP connection, before any of its bytes are passed on.

    Attributes:
        address, port: where it was going.
        captured_by: the proxy's own port that iptables sent it to; None when it came by itself.
        source, source_port: who opened it.
        tls: its first bytes begin TLS; then `server_name` and `alpn` are what they ask for.
        http: the protocol that its first bytes show when it is plain HTTP: "http/1.1", "http/1.0" or "h2c".
    """

    address: str
    port: int
    captured_by: int | None = None
    source: str = "127.0.0.1"
    source_port: int = 0
    tls: bool = False
    server_name: str = ""
    alpn: tuple[str, ...] = ()
    http: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request.

    Attributes:
        authority: the Host header, or the host of an absolute URL, with its port where it names one.
        path: with its query.
        headers: (name, value), a name as often as it was sent; without those above.
    """

    authority: str
    path: str = "/"
    method: str = "GET"
    scheme: str = "http"
    headers: tuple[tuple[str, str], ...] = ()

    def values(self, name: str) -> tuple[str, ...]:
        """The values of a header by its lower-case name, as they are compared; () when there is none.

        Envoy holds each header that it knows by name as one list; of any other, each value is compared by itself.
        """
        values = [value for key, value in self._all() if key == name]
        return (",".join(values),) if values and name in JOINED else tuple(values)

    def _all(self) -> Iterator[tuple[str, str]]:
        yield from ((":authority", self.authority), ("host", self.authority), (":path", self.path))
        yield from ((":method", self.method), (":scheme", self.scheme))
        yield from ((name.lower(), value) for name, value in self.headers)
