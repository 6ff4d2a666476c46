"""Services and what stands behind them: ports, endpoints, localities.

Decides the shape of discovery. Knows nothing of where a service was written down or of how Envoy is told.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property

from xds_server.mesh.health_check import HealthCheck
from xds_server.problem import Origin

Labels = tuple[tuple[str, str], ...]
"""Labels of an endpoint, a subset or a selector, sorted by key."""


def labels_match(selector: Labels, labels: Labels) -> bool:
    """Whether every pair of `selector` is among `labels`; an empty selector matches everything."""
    return set(selector) <= set(labels)


def canonical(labels: Labels, workload: str) -> tuple[str, str]:
    """The service and revision that a workload tells others it is of (Istio's canonical service)."""
    said = dict(labels)
    return (
        said.get("service.istio.io/canonical-name") or said.get("app") or workload,
        said.get("service.istio.io/canonical-revision") or said.get("version") or "latest",
    )


class Protocol(enum.StrEnum):
    """Protocol of a port, in Istio's names; `AUTO` is Istio's unset: detected from the first bytes."""

    AUTO = ""
    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-Web"
    HTTP_PROXY = "HTTP_PROXY"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    MONGO = "Mongo"
    REDIS = "Redis"
    MYSQL = "MySQL"
    UDP = "UDP"

    @property
    def is_http(self) -> bool:
        """Whether Envoy reads it as HTTP (declared, not detected)."""
        return self in {Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB, Protocol.HTTP_PROXY}

    @property
    def is_http2(self) -> bool:
        """Whether the upstream connection is always HTTP/2."""
        return self in {Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB}

    @property
    def is_tls(self) -> bool:
        """Whether the application itself speaks TLS, routed by SNI."""
        return self in {Protocol.HTTPS, Protocol.TLS}


class Resolution(enum.StrEnum):
    """How endpoint addresses are found (ServiceEntry.resolution)."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


@dataclass(frozen=True, slots=True, order=True)
class Locality:
    """Region, zone and sub-zone; "" where not given."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""

    @classmethod
    def parse(cls, text: str) -> Locality:
        """Istio's "region/zone/subzone"; later parts may be left out."""
        return cls(*text.split("/", 2)) if text else cls()

    def is_under(self, pattern: str) -> bool:
        """Whether it falls under "region/zone/subzone", where "*" and what is left out match anything."""
        wanted = Locality.parse(pattern)
        return (
            wanted.region in {"*", self.region}
            and wanted.zone in {"*", "", self.zone}
            and wanted.sub_zone in {"*", "", self.sub_zone}
        )

    def __str__(self) -> str:
        return "/".join(part for part in (self.region, self.zone, self.sub_zone) if part)


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """One service port. `target_port` is where endpoints listen unless they say otherwise; None means `number`."""

    number: int
    name: str
    protocol: Protocol
    target_port: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address that serves a service.

    Attributes:
        address: IP address, DNS name (DNS resolutions only), or "unix:///path".
        ports: (service port name, port number here), sorted; a name not listed uses the service port's target.
        weight: 1 or more.
        workload: name of the WorkloadEntry it comes from, "" when written inline.
        draining: no new requests, open ones finish (Envoy's DRAINING).
        tls_mode: "istio" or "disabled": whether it accepts mesh mTLS.
        healthy: False is sent to nobody: it is known that it does not work.
        plaintext_ports: port numbers here on which a PeerAuthentication switches mesh mTLS off all the same.
        health_port: where callers check it, when its service has a health check; 0 is nowhere.
    """

    address: str
    ports: tuple[tuple[str, int], ...] = ()
    labels: Labels = ()
    locality: Locality = Locality()
    weight: int = 1
    namespace: str = ""
    workload: str = ""
    service_account: str = ""
    network: str = ""
    draining: bool = False
    tls_mode: str = "disabled"
    healthy: bool = True
    plaintext_ports: tuple[int, ...] = ()
    health_port: int = 0

    @property
    def has_identity(self) -> bool:
        """Whether it can prove who it is."""
        return self.tls_mode == "istio"

    def takes_mesh_tls(self, port: Port) -> bool:
        """Whether callers of a service port are to speak mesh mTLS to this endpoint."""
        return self.has_identity and self.port_for(port) not in self.plaintext_ports

    def port_for(self, port: Port) -> int:
        """Where this endpoint listens for a service port: its own, else the port's target, else the same number."""
        return dict(self.ports).get(port.name, port.target_port or port.number)


@dataclass(frozen=True, eq=False)
class Service:
    """A service as the policies define it. Compared by identity: the same object for as long as nothing changed.

    Attributes:
        host: host as written in the ServiceEntry; the last part of cluster names.
        namespace: namespace of the document that defines it.
        addresses: virtual IPs or CIDR ranges.
        selector: labels of the workloads that serve it, () when endpoints are inline or by DNS.
        export_to: namespaces that may see it; ("*",) for all, (".",) already resolved to the own namespace.
        external: MESH_EXTERNAL.
        subject_alt_names: identities that its endpoints may present.
        origins: the documents it was made from, its WorkloadEntries included.
        auto_address: callers that look names up here may be given an address of ours.
        given_address: the one that somebody else has chosen for that; "" for none.
        moves_gateway_ports: a router that serves it listens for a port of a Gateway where this service's target is.
        health_check: how callers check its endpoints; None leaves it to what else they see.
    """

    host: str
    namespace: str
    ports: tuple[Port, ...]
    resolution: Resolution
    endpoints: tuple[Endpoint, ...] = ()
    addresses: tuple[str, ...] = ()
    selector: Labels = ()
    export_to: tuple[str, ...] = ("*",)
    external: bool = False
    subject_alt_names: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    health_check: HealthCheck | None = None
    auto_address: bool = True
    given_address: str = ""
    moves_gateway_ports: bool = True

    @cached_property
    def endpoint_by_workload(self) -> dict[tuple[str, str], Endpoint]:
        """Endpoints that come from a WorkloadEntry, by its (namespace, name); read only."""
        return {(e.namespace, e.workload): e for e in self.endpoints if e.workload}

    @cached_property
    def endpoint_by_address(self) -> dict[str, Endpoint]:
        """Endpoints by an address that tells workloads apart: loopback proves nothing; read only."""
        return {e.address: e for e in self.endpoints if not e.address.startswith(("127.", "::1", "unix:"))}

    @cached_property
    def http_ports(self) -> tuple[int, ...]:
        """Numbers of the ports whose requests are routed one by one: HTTP, declared or detected."""
        return tuple(port.number for port in self.ports if port.protocol.is_http or port.protocol is Protocol.AUTO)

    @cached_property
    def stream_ports(self) -> tuple[Port, ...]:
        """Ports on which TCP other than HTTP is expected; detected ones are among these too."""
        return tuple(port for port in self.ports if not port.protocol.is_http and port.protocol is not Protocol.UDP)

    @cached_property
    def port_by_number(self) -> dict[int, Port]:
        """Ports by their number; read only."""
        return {port.number: port for port in self.ports}
