"""One entry of an access log: a request or a connection, as the proxy that logged it saw it."""

from __future__ import annotations

from dataclasses import dataclass, fields

from xds_server.mesh.host import may_be_same
from xds_server.telemetry.grpc_status import SERVER_ERRORS
from xds_server.telemetry.response_flags import in_words, is_harmless


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One entry; what is not known is "" or 0.

    Attributes:
        time: when it began, in seconds since the epoch.
        seconds: how long it took.
        proxy: the node id of the proxy.
        service: what the proxy stands beside: "name.namespace".
        status: of the answer; 0 for a connection, and for a request without an answer.
        grpc, grpc_message: the status of gRPC by its name, and what was said with it.
        flags: as %RESPONSE_FLAGS% writes them.
        details: why Envoy answered as it did, or ended the connection.
        failure: of the transport: why no connection came about.
        caller: the address that it came from.
        principal: the URI in the certificate of who sent it. Mesh TLS has verified it, and any other TLS as well unless
            a policy says insecureSkipVerify.
        attempts: how often it was sent on.
    """

    time: float
    seconds: float
    proxy: str
    service: str
    log: str = ""
    protocol: str = ""
    method: str = ""
    authority: str = ""
    path: str = ""
    status: int = 0
    grpc: str = ""
    grpc_message: str = ""
    flags: tuple[str, ...] = ()
    details: str = ""
    failure: str = ""
    route: str = ""
    cluster: str = ""
    upstream: str = ""
    caller: str = ""
    principal: str = ""
    request_id: str = ""
    attempts: int = 0
    received: int = 0
    sent: int = 0

    @property
    def is_inbound(self) -> bool:
        """Whether the proxy took it for its own application."""
        return self.cluster.startswith("inbound|")

    @property
    def called(self) -> str:
        """The host of the service that was called, as far as the proxy knows."""
        parts = self.cluster.split("|")
        return parts[3] if len(parts) == 4 and parts[3] else self.authority.partition(":")[0]

    @property
    def failed(self) -> bool:
        """Whether the answer was an error of the server's, or something went wrong on the way."""
        # Whatever is inside an upgraded connection, it ends as somebody hangs up.
        good = {"DC", "DR"} if self.status == _UPGRADED else set()
        wrong = any(flag not in good and not is_harmless(flag) for flag in self.flags)
        return self.status >= _SERVER_ERROR or self.grpc in SERVER_ERRORS or wrong or bool(self.failure)

    def concerns(self, service: str) -> bool:
        """Whether `service`, in any spelling of its name, called or was called."""
        return may_be_same(service, self.service) or may_be_same(service, self.called)

    def as_json(self) -> dict[str, object]:
        """Every field, with what the flags mean and whether it failed."""
        return {
            **{name: getattr(self, name) for name in _FIELDS},
            "called": self.called,
            "failed": self.failed,
            "meaning": [in_words(flag) for flag in self.flags],
        }


_FIELDS = tuple(field.name for field in fields(LogEntry))
_SERVER_ERROR, _UPGRADED = 500, 101
