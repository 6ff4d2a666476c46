"""Sidecar: what comes in through a proxy, and what it may see going out (istio.io/v1 Sidecar)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from xds_server.policy.destination_rule import ConnectionPoolSettings
from xds_server.policy.model import Finding, PolicyEnum, PolicyModel, refusal
from xds_server.policy.server_tls import ServerTLSMode, ServerTLSSettings
from xds_server.policy.values import (
    DnsLabel,
    Int,
    IpAddress,
    PortNumber,
    Protocol,
    WorkloadSelector,
    duplicates,
    is_dns_label,
    is_host_name,
    is_whole_wildcard,
    unix_path_mistakes,
)
from xds_server.policy.virtual_service import Destination

_ENDPOINT_HOSTS = {"", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"}  # noqa: S104 names to compare with, nothing binds

_ENDED = {ServerTLSMode.SIMPLE, ServerTLSMode.MUTUAL, ServerTLSMode.OPTIONAL_MUTUAL}


class CaptureMode(PolicyEnum):
    """How traffic reaches the listener."""

    DEFAULT = "DEFAULT"
    IPTABLES = "IPTABLES"
    NONE = "NONE"


class SidecarPort(PolicyModel):
    """A port of a Sidecar listener; `number` 0 is a unix socket's."""

    number: Annotated[Int, Field(le=65535)] = 0
    protocol: Protocol = ""
    name: DnsLabel | None = None
    target_port: PortNumber | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Istio refuses the old targetPort."""
        if self.target_port is not None:
            yield Finding("targetPort does nothing in a Sidecar", "use defaultEndpoint", at=("targetPort",))


class IstioIngressListener(PolicyModel):
    """One port that the sidecar takes for its application.

    Attributes:
        default_endpoint: "127.0.0.1:port", "0.0.0.0:port", "[::1]:port", "[::]:port" or "unix:///path"; "" is where
            the traffic was addressed.
    """

    port: SidecarPort
    bind: IpAddress | None = None
    capture_mode: CaptureMode = CaptureMode.DEFAULT
    default_endpoint: str = ""
    tls: ServerTLSSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Istio's."""
        if not self.port.number:
            yield Finding("an ingress listener needs a port number", "write 1 to 65535", at=("port", "number"))
        yield from self._endpoint_mistakes()
        if self.tls is not None:
            yield from self._tls_mistakes(self.tls)

    def _endpoint_mistakes(self) -> Iterable[Finding]:
        at = ("defaultEndpoint",)
        if self.default_endpoint.startswith("unix://"):
            yield from unix_path_mistakes(self.default_endpoint, at)
        elif self.default_endpoint:
            host, _, port = self.default_endpoint.rpartition(":")
            good_port = port.isdecimal() and 1 <= int(port) <= 65535
            if host not in _ENDPOINT_HOSTS or not good_port:
                fix = "write 127.0.0.1:8080, 0.0.0.0:8080, [::1]:8080, [::]:8080 or unix:///path"
                yield Finding(f'"{self.default_endpoint}" is not an endpoint of the application', fix, at=at)

    def _tls_mistakes(self, tls: ServerTLSSettings) -> Iterable[Finding]:
        names = ("subject_alt_names", "https_redirect", "credential_name", "credential_names", "tls_certificates")
        for name in names:
            if getattr(tls, name):
                spelled = str(ServerTLSSettings.model_fields[name].alias)
                yield Finding(f"{spelled} cannot be used in a Sidecar", at=("tls", spelled))
        if tls.mode in {ServerTLSMode.ISTIO_MUTUAL, ServerTLSMode.AUTO_PASSTHROUGH}:
            fix = "write SIMPLE, MUTUAL or OPTIONAL_MUTUAL"
            yield Finding(f"mode {tls.mode} cannot be used in a Sidecar", fix, at=("tls", "mode"))
        if self.port.protocol not in {"HTTPS", "TLS"}:
            yield Finding("tls needs a port of protocol HTTPS or TLS", at=("tls",))
            return
        if tls.mode in _ENDED and not (tls.server_certificate and tls.private_key):
            message = f"mode {tls.mode} needs a certificate"
            yield Finding(message, "name serverCertificate and privateKey", at=("tls",), code="missing-field")
        if tls.mode in _ENDED - {ServerTLSMode.SIMPLE} and not tls.ca_certificates:
            message = f"mode {tls.mode} does not say whose certificates are believed"
            yield Finding(message, "name caCertificates", at=("tls",), code="missing-field")


def _egress_hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    found = [mistake for index, host in enumerate(value) for mistake in _egress_host_mistakes(host, index)]
    if found:
        raise refusal(*found)
    return value


def _egress_host_mistakes(text: str, index: int) -> Iterable[Finding]:
    namespace, slash, host = text.partition("/")
    if not slash:
        yield Finding(f'"{text}" does not name a namespace', f"write */{text} or ./{text}", at=(index,))
        return
    bare = namespace.removeprefix("~")
    if bare not in {"*", "."} and not is_dns_label(bare) and namespace != "~":
        yield Finding(f'"{namespace}" is not a namespace', "write a name, * or .", at=(index,))
    if not is_host_name(host, wildcard=True) or not is_whole_wildcard(host):
        yield Finding(f'"{host}" is not a host name', "write a DNS name, *.suffix or *", at=(index,))


class IstioEgressListener(PolicyModel):
    """What may be seen going out: "namespace/host" pairs, through one port or, without `port`, through any."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = CaptureMode.DEFAULT
    hosts: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_egress_hosts)]

    def mistakes(self) -> Iterable[Finding]:
        """A unix socket goes with port number 0."""
        if self.bind.startswith("unix://"):
            yield from unix_path_mistakes(self.bind, ("bind",))
            if self.capture_mode is CaptureMode.IPTABLES:
                fix = "leave it out, or write captureMode: NONE"
                yield Finding("iptables cannot send anything to a unix socket", fix, at=("captureMode",))
        if self.port is not None and not self.port.number and not self.bind.startswith("unix://"):
            fix = "write a port number, or bind: unix:///path"
            yield Finding("port 0 is for unix sockets only", fix, at=("port", "number"))


class OutboundTrafficPolicyMode(PolicyEnum):
    """What happens to traffic for destinations that no policy names."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"


class OutboundTrafficPolicy(PolicyModel):
    """Traffic for unknown destinations. A block without `mode` is REGISTRY_ONLY, as in proto."""

    mode: OutboundTrafficPolicyMode = OutboundTrafficPolicyMode.REGISTRY_ONLY
    egress_proxy: Destination | None = None

    def mistakes(self) -> Iterable[Finding]:
        """A proxy for unknown destinations needs them to be allowed."""
        if self.egress_proxy is None:
            return
        if self.mode is not OutboundTrafficPolicyMode.ALLOW_ANY:
            yield Finding("egressProxy needs mode ALLOW_ANY", "write mode: ALLOW_ANY", at=("egressProxy",))
        if self.egress_proxy.port is None:
            yield Finding("egressProxy needs a port", "write port: {number: ...}", at=("egressProxy",))


class SidecarSpec(PolicyModel):
    """What the proxies that it selects take in and may see."""

    workload_selector: WorkloadSelector | None = None
    ingress: tuple[IstioIngressListener, ...] = ()
    egress: tuple[IstioEgressListener, ...] = ()
    inbound_connection_pool: ConnectionPoolSettings | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Istio's ValidateSidecar."""
        if not (self.ingress or self.egress or self.outbound_traffic_policy or self.inbound_connection_pool):
            yield Finding("says nothing", "write ingress, egress, inboundConnectionPool or outboundTrafficPolicy")
        yield from _same_ports("ingress", [listener.port for listener in self.ingress])
        yield from _same_ports("egress", [listener.port for listener in self.egress])
        sockets = [(index, each.bind) for index, each in enumerate(self.egress) if each.bind.startswith("unix://")]
        for position, bind in duplicates(bind for _, bind in sockets):
            yield Finding(f"{bind} is listed twice", "keep one", at=("egress", sockets[position][0], "bind"))
        for index, listener in enumerate(self.egress[:-1]):
            if listener.port is None:
                message = "a listener without port takes everything, later ones would never act"
                yield Finding(message, "make it the last", at=("egress", index))


def _same_ports(where: str, ports: Sequence[SidecarPort | None]) -> Iterable[Finding]:
    numbered = [(index, port.number) for index, port in enumerate(ports) if port is not None and port.number]
    for position, number in duplicates(number for _, number in numbered):
        at = (where, numbered[position][0], "port", "number")
        yield Finding(f"port {number} is listed twice", "keep one", at=at)
