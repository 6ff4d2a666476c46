"""What reaches a proxy: a connection, and perhaps a request on it, as plain values. Knows nothing of configurations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HTTP_1 = "http/1.1"
"""What Envoy's HTTP inspector calls it."""


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

    def header(self, name: str) -> str | None:
        """The value of a header by its lower-case name, several joined by commas; None when there is none."""
        values = [value for key, value in self._all() if key == name]
        return ",".join(values) if values else None

    def _all(self) -> Iterator[tuple[str, str]]:
        yield from ((":authority", self.authority), ("host", self.authority), (":path", self.path))
        yield from ((":method", self.method), (":scheme", self.scheme))
        yield from ((name.lower(), value) for name, value in self.headers)
