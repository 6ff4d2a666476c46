"""Gateway: ports that a router opens to the outside, and the TLS on them (istio.io/v1 Gateway)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

from xds_server.policy.model import Finding, PolicyModel, refusal
from xds_server.policy.server_tls import PASSED_ON, ServerTLSMode, ServerTLSSettings, certificates
from xds_server.policy.values import (
    IpAddress,
    Labels,
    PortNumber,
    Protocol,
    duplicates,
    is_dns_label,
    is_host_name,
    is_whole_wildcard,
)

_HTTP = {"HTTP", "HTTP2", "GRPC", "GRPC-Web", "HTTP_PROXY"}
_TLS = {"HTTPS", "TLS"}


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    found = [mistake for index, host in enumerate(value) for mistake in _host_mistakes(host, index)]
    if found:
        raise refusal(*found)
    return value


def _host_mistakes(text: str, index: int) -> Iterable[Finding]:
    namespace, slash, host = text.rpartition("/")
    if slash and namespace not in {"*", "."} and not is_dns_label(namespace):
        yield Finding(f'"{namespace}" is not a namespace', "write a name, * or .", at=(index,))
    if not is_host_name(host, wildcard=True) or not is_whole_wildcard(host):
        yield Finding(f'"{host}" is not a host name', "write a DNS name, *.suffix or *", at=(index,))


class ServerPort(PolicyModel):
    """A port that is open to the outside."""

    number: PortNumber
    protocol: Protocol
    name: Annotated[str, Field(min_length=1)]
    target_port: PortNumber | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Nothing is detected here, and a router has one port of each number."""
        if not self.protocol:
            yield Finding("a gateway does not detect protocols", "write one, such as HTTP", at=("protocol",))
        if self.target_port is not None:
            yield Finding("targetPort does nothing in a Gateway", "give the router's service one", at=("targetPort",))


class Server(PolicyModel):
    """One port, and the hosts that it is for: `host`, `namespace/host`, `./host` or `*/host`.

    `name` is what the port is called in statistics.
    """

    port: ServerPort
    bind: IpAddress | None = None
    hosts: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_hosts)]
    tls: ServerTLSSettings | None = None
    default_endpoint: str = ""
    name: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """TLS where the protocol has it, and only there."""
        protocol = self.port.protocol
        if self.tls is None:
            if protocol in _TLS:
                fix = "write tls: {mode: SIMPLE, credentialName: ...} or another mode"
                yield Finding(f"a port of protocol {protocol} needs tls", fix, code="missing-field")
            return
        if protocol in _TLS:
            yield from (found.below(("tls",)) for found in tls_mistakes(self.tls))
        elif protocol not in _HTTP or self.tls != ServerTLSSettings(https_redirect=self.tls.https_redirect):
            fix = "remove it, or write protocol: HTTPS"
            yield Finding(f"a port of protocol {protocol} has no TLS settings", fix, at=("tls",))

    @property
    def passes_tls_on(self) -> bool:
        """Whether the application's own TLS goes through unread."""
        return self.tls is not None and self.port.protocol in _TLS and self.tls.mode in PASSED_ON


class GatewaySpec(PolicyModel):
    """Ports of the routers whose labels have all of `selector`, whatever their namespace."""

    servers: tuple[Server, ...] = ()
    selector: Labels = Field(default_factory=dict)

    def mistakes(self) -> Iterable[Finding]:
        """A Gateway without servers opens nothing, and Istio names routes after the ports."""
        if not self.servers:
            yield Finding("opens nothing", "write servers: [...]", at=("servers",))
        for index, name in duplicates(server.port.name for server in self.servers):
            at = ("servers", index, "port", "name")
            yield Finding(f"the port name {name} is used twice", "give each its own", at=at)


def tls_mistakes(tls: ServerTLSSettings) -> Iterable[Finding]:
    """What is wrong with the certificates that a server names: none, too many, or from several places at once."""
    if tls.mode in PASSED_ON:
        return
    given = certificates(tls)
    if tls.mode is ServerTLSMode.ISTIO_MUTUAL:
        for name in [*given, *(["caCertificates"] if tls.ca_certificates else [])]:
            yield Finding(f"mode {tls.mode} takes no {name}", "remove it, or change the mode", at=(name,))
        return
    for name in given[1:]:
        yield Finding(f"cannot be set beside {given[0]}", "keep one of them", at=(name,))
    if not given:
        yield Finding(f"mode {tls.mode} needs a certificate", "write credentialName: ...", code="missing-field")
    by_name = bool(tls.credential_name or tls.credential_names)
    yield from _file_mistakes(tls, by_name=by_name)
    yield from _client_mistakes(tls, by_name=by_name)


def _file_mistakes(tls: ServerTLSSettings, *, by_name: bool) -> Iterable[Finding]:
    if not by_name and bool(tls.server_certificate) != bool(tls.private_key):
        yield Finding("serverCertificate and privateKey go together", "name both files")
    for index, each in enumerate(tls.tls_certificates):
        if not each.server_certificate or not each.private_key:
            yield Finding("needs serverCertificate and privateKey", "name both files", at=("tlsCertificates", index))
    for name, values in (("tlsCertificates", tls.tls_certificates), ("credentialNames", tls.credential_names)):
        if len(values) > 2:
            yield Finding("takes two at most, one RSA and one ECDSA", at=(name, 2))
    if tls.ca_crl and (tls.mode is ServerTLSMode.SIMPLE or by_name):
        yield Finding("caCrl goes with caCertificates only", "put ca.crl beside the credential", at=("caCrl",))


def _client_mistakes(tls: ServerTLSSettings, *, by_name: bool) -> Iterable[Finding]:
    asks = tls.mode in {ServerTLSMode.MUTUAL, ServerTLSMode.OPTIONAL_MUTUAL}
    if asks and not by_name and not (tls.ca_certificates or tls.ca_cert_credential_name):
        message = f"mode {tls.mode} does not say whose certificates are believed"
        yield Finding(message, "name caCertificates, or use credentialName", code="missing-field")
    for name, value in (
        ("verifyCertificateSpki", tls.verify_certificate_spki),
        ("verifyCertificateHash", tls.verify_certificate_hash),
    ):
        if value and not by_name:
            yield Finding("acts with credentialName only", "use credentialName", at=(name,))
