"""ServiceEntry: a service, its ports, and where its endpoints are found (istio.io/v1 ServiceEntry)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from xds_server.ip_address import is_ip_address
from xds_server.policy.model import Finding, PolicyEnum, PolicyModel
from xds_server.policy.values import (
    DnsLabel,
    Host,
    PortNumber,
    Protocol,
    ServiceExportTo,
    Subnet,
    WorkloadSelector,
    duplicates,
    is_host_name,
)
from xds_server.policy.workload_entry import WorkloadEntrySpec

_HTTP = {"HTTP", "HTTP2", "GRPC", "GRPC-Web", "HTTP_PROXY"}
_TLS = {"HTTPS", "TLS"}
_DYNAMIC = {"HTTP", "HTTP2", "GRPC", "TLS"}


class Location(PolicyEnum):
    """Whether the service belongs to the mesh."""

    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(PolicyEnum):
    """How endpoint addresses are found."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"

    @property
    def by_dns(self) -> bool:
        """Whether each endpoint is a name that Envoy resolves."""
        return self in {Resolution.DNS, Resolution.DNS_ROUND_ROBIN}


class ServicePort(PolicyModel):
    """One port. `target_port` None is `number`; `protocol` "" is detected."""

    number: PortNumber
    protocol: Protocol = ""
    name: DnsLabel
    target_port: PortNumber | None = None


class ServiceEntrySpec(PolicyModel):
    """One service under one or more host names."""

    hosts: Annotated[tuple[Host, ...], Field(min_length=1)]
    addresses: tuple[Subnet, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    location: Location = Location.MESH_EXTERNAL
    resolution: Resolution = Resolution.NONE
    endpoints: tuple[WorkloadEntrySpec, ...] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: ServiceExportTo = ()
    subject_alt_names: tuple[str, ...] = ()

    def mistakes(self) -> Iterable[Finding]:
        """Istio's ValidateServiceEntry."""
        if self.workload_selector is not None and "endpoints" in self.model_fields_set:
            fix = "keep one of them"
            yield Finding("only one of workloadSelector, endpoints may be set", fix, at=("workloadSelector",))
        if "*" in self.hosts:
            at = ("hosts", self.hosts.index("*"))
            yield Finding("a service cannot have the host name *", "write *.suffix, or the names", at=at)
        yield from self._port_mistakes()
        yield from self._endpoint_mistakes()
        yield from self._resolution_mistakes()
        yield from self._telling_apart_mistakes()

    def _port_mistakes(self) -> Iterable[Finding]:
        for index, number in duplicates(port.number for port in self.ports):
            yield Finding(f"port {number} is listed twice", "keep one", at=("ports", index, "number"))
        for index, name in duplicates(port.name for port in self.ports):
            yield Finding(f"the port name {name} is used twice", "give each its own", at=("ports", index, "name"))

    def _endpoint_mistakes(self) -> Iterable[Finding]:
        names = {port.name for port in self.ports}
        for index, endpoint in enumerate(self.endpoints):
            at = ("endpoints", index)
            for name in endpoint.ports:
                if name not in names:
                    fix = f"write one of {', '.join(sorted(names))}" if names else "add it to ports"
                    yield Finding(f"the service has no port named {name}", fix, at=(*at, "ports", name))
            if endpoint.is_unix and len(self.ports) != 1:
                yield Finding("a unix socket serves exactly one service port", at=(*at, "address"))
            yield from self._address_mistakes(endpoint, at)

    def _address_mistakes(self, endpoint: WorkloadEntrySpec, at: tuple[str | int, ...]) -> Iterable[Finding]:
        by_address = endpoint.is_unix or not endpoint.address or is_ip_address(endpoint.address)
        if self.resolution is Resolution.STATIC and not by_address:
            message = f'"{endpoint.address}" is not an IP address, which STATIC needs'
            yield Finding(message, "write resolution: DNS, or an IP address", at=(*at, "address"))
        if self.resolution.by_dns and endpoint.is_unix:
            yield Finding("a unix socket is not found by DNS", "write resolution: STATIC", at=(*at, "address"))

    def _resolution_mistakes(self) -> Iterable[Finding]:
        if self.resolution is Resolution.NONE and self.endpoints:
            fix = "write resolution: STATIC for IP addresses, or DNS for names"
            yield Finding("with resolution NONE the endpoints are never used", fix, at=("endpoints",))
        if self.resolution is Resolution.DNS_ROUND_ROBIN and len(self.endpoints) > 1:
            fix = "write resolution: DNS, or keep one"
            yield Finding("DNS_ROUND_ROBIN takes one endpoint at most", fix, at=("endpoints", 1))
        if self.resolution.by_dns and not self.endpoints and self.workload_selector is None:
            for index, host in enumerate(self.hosts):
                if not is_host_name(host):
                    fix = "name endpoints, or hosts without *"
                    yield Finding(f"{host} cannot be looked up in DNS", fix, at=("hosts", index))
        if self.resolution not in {Resolution.NONE, Resolution.STATIC}:
            for index, address in enumerate(self.addresses):
                if "/" in address:
                    message = "CIDR ranges are for resolution NONE and STATIC only"
                    yield Finding(message, f"write {address.split('/')[0]}", at=("addresses", index))
        if self.resolution is Resolution.DYNAMIC_DNS:
            yield from self._dynamic_mistakes()

    def _dynamic_mistakes(self) -> Iterable[Finding]:
        for index, host in enumerate(self.hosts):
            if not host.startswith("*"):
                yield Finding("DYNAMIC_DNS is for wildcard hosts", f"write *.{host}, or DNS", at=("hosts", index))
        for name in ("addresses", "endpoints"):
            if getattr(self, name):
                yield Finding(f"DYNAMIC_DNS takes no {name}", f"remove {name}", at=(name,))
        for index, port in enumerate(self.ports):
            if port.protocol not in _DYNAMIC:
                fix = "write HTTP, HTTP2, GRPC or TLS"
                at = ("ports", index, "protocol")
                yield Finding(f"DYNAMIC_DNS cannot serve {port.protocol or 'an unset protocol'}", fix, at=at)

    def _telling_apart_mistakes(self) -> Iterable[Finding]:
        if self.resolution is Resolution.NONE or len(self.hosts) < 2:
            return
        for index, port in enumerate(self.ports):
            if port.protocol not in _HTTP | _TLS:
                message = "several hosts on one port can be told apart in HTTP and TLS only"
                yield Finding(message, "set its protocol, or write one entry for each host", at=("ports", index))
