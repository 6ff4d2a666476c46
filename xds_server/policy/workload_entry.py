"""WorkloadEntry: one endpoint, as a document of its own or inside a ServiceEntry (istio.io/v1 WorkloadEntry)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

from xds_server.ip_address import is_ip_address
from xds_server.policy.model import Finding, PolicyModel, refusal
from xds_server.policy.values import (
    Int,
    Labels,
    PortNumber,
    is_dns_label,
    is_host_name,
    unix_path_mistakes,
)


def _port_names(value: dict[str, int]) -> dict[str, int]:
    if found := [Finding(f'"{name}" is not a port name', at=(name,)) for name in value if not is_dns_label(name)]:
        raise refusal(*found)
    return value


class WorkloadEntrySpec(PolicyModel):
    """One endpoint.

    Attributes:
        address: IP address, DNS name or "unix:///path"; "" only where `network` is set.
        ports: by service port name; a port not named here is the service's target port.
        weight: 0 is 1.
        locality: "region/zone/subzone".
    """

    address: str = ""
    ports: Annotated[dict[str, PortNumber], AfterValidator(_port_names)] = Field(default_factory=dict)
    labels: Labels = Field(default_factory=dict)
    network: str = ""
    locality: str = ""
    weight: Int = 0
    service_account: str = ""

    @property
    def is_unix(self) -> bool:
        """Whether the address is a unix socket."""
        return self.address.startswith("unix://")

    def mistakes(self) -> Iterable[Finding]:
        """An address that can be reached."""
        if self.is_unix:
            yield from unix_path_mistakes(self.address, ("address",))
            if self.ports:
                yield Finding("a unix socket has no ports", "remove ports", at=("ports",))
        elif not self.address and not self.network:
            yield Finding("an address is required", "write an IP address, a DNS name or unix:///path")
        elif self.address and not is_ip_address(self.address) and not is_host_name(self.address):
            fix = "write it without scheme and port; ports go under ports"
            yield Finding(f'"{self.address}" is neither an IP address nor a DNS name', fix, at=("address",))
