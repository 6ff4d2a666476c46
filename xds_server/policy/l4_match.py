"""What a VirtualService's tls and tcp rules match: connections, not requests (istio.io/v1 VirtualService)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from xds_server.policy.model import PolicyModel
from xds_server.policy.values import DnsLabel, GatewayNames, Host, Labels, PortNumber, Subnet


class L4MatchAttributes(PolicyModel):
    """Conditions on a TCP connection, and-ed."""

    destination_subnets: tuple[Subnet, ...] = ()
    port: PortNumber | None = None
    source_subnet: Subnet | None = None
    source_labels: Labels = Field(default_factory=dict)
    gateways: GatewayNames = ()
    source_namespace: DnsLabel | None = None


class TLSMatchAttributes(PolicyModel):
    """Conditions on a TLS connection that is passed through, and-ed."""

    sni_hosts: Annotated[tuple[Host, ...], Field(min_length=1)]
    destination_subnets: tuple[Subnet, ...] = ()
    port: PortNumber | None = None
    source_labels: Labels = Field(default_factory=dict)
    gateways: GatewayNames = ()
    source_namespace: DnsLabel | None = None
