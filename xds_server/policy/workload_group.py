"""WorkloadGroup: what workloads that register themselves have in common (istio.io/v1 WorkloadGroup)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

from xds_server.ip_address import is_ip_address
from xds_server.policy.model import Finding, PolicyModel, refusal
from xds_server.policy.values import Int, Labels, PortNumber, is_host_name, only_one
from xds_server.policy.workload_entry import WorkloadEntrySpec

_HEADER_NAME = re.compile(r"[-_A-Za-z0-9]+")


class ObjectMeta(PolicyModel):
    """What each registered WorkloadEntry is given as its own metadata."""

    labels: Labels = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class WorkloadTemplate(WorkloadEntrySpec):
    """A WorkloadEntry but for its address, which each workload brings."""

    def mistakes(self) -> Iterable[Finding]:
        """None: that an address is written here and not used is a warning (Istio validates no template)."""
        return ()


def _header_name(value: str) -> str:
    if not _HEADER_NAME.fullmatch(value):
        raise refusal(Finding(f'"{value}" is not a header name', "use letters, digits, - and _"))
    return value


class HTTPHeader(PolicyModel):
    """One header of a probe's request."""

    name: Annotated[str, AfterValidator(_header_name)]
    value: str = ""


def _probe_host(value: str) -> str:
    if value and not is_host_name(value) and not is_ip_address(value):
        raise refusal(Finding(f'"{value}" is neither a host name nor an IP address'))
    return value


ProbeHost = Annotated[str, AfterValidator(_probe_host)]


class HTTPHealthCheckConfig(PolicyModel):
    """GET a path; 200 to 399 is well. `host` is sent as Host; `scheme` "" is HTTP."""

    path: str = ""
    port: PortNumber
    host: ProbeHost = ""
    scheme: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()

    def mistakes(self) -> Iterable[Finding]:
        """Istio's."""
        if self.scheme not in {"", "HTTP", "HTTPS"}:
            yield Finding(f'"{self.scheme}" is not a scheme', "write HTTP or HTTPS", at=("scheme",))


class TCPHealthCheckConfig(PolicyModel):
    """A connection is accepted."""

    host: ProbeHost = ""
    port: PortNumber


class ExecHealthCheckConfig(PolicyModel):
    """A command beside the application succeeds. Nobody here can run it."""

    command: Annotated[tuple[str, ...], Field(min_length=1)]


class GrpcHealthCheckConfig(PolicyModel):
    """grpc.health.v1.Health says SERVING."""

    port: PortNumber
    service: str = ""


class ReadinessProbe(PolicyModel):
    """When a workload is well. Times are in seconds; 0 is the default: 1 s, every 10 s, after 1 success, 3 failures."""

    initial_delay_seconds: Int = 0
    timeout_seconds: Int = 0
    period_seconds: Int = 0
    success_threshold: Int = 0
    failure_threshold: Int = 0
    http_get: HTTPHealthCheckConfig | None = None
    tcp_socket: TCPHealthCheckConfig | None = None
    exec: ExecHealthCheckConfig | None = None
    grpc: GrpcHealthCheckConfig | None = None

    def mistakes(self) -> Iterable[Finding]:
        """One way to probe, and one that something here can carry out."""
        yield from only_one(self, "http_get", "tcp_socket", "exec", "grpc")
        if not (self.http_get or self.tcp_socket or self.exec or self.grpc):
            yield Finding("does not say how to probe", "write httpGet, tcpSocket or grpc")
        if self.exec is not None:
            fix = "write httpGet, tcpSocket or grpc"
            yield Finding("a command can be run beside the application only, which no Envoy does", fix, at=("exec",))


class WorkloadGroupSpec(PolicyModel):
    """What workloads that register themselves have in common."""

    metadata: ObjectMeta = ObjectMeta()
    template: WorkloadTemplate
    probe: ReadinessProbe | None = None
