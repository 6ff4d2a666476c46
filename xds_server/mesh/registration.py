"""A connected proxy that says it belongs to a WorkloadGroup: what it tells of its application, to make an endpoint of.

What the group adds is decided in `compiler/workload_group.py`. Source: Istio, WorkloadGroup and automatic registration.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from xds_server.ip_address import is_ip_address
from xds_server.mesh.service import Labels, Locality
from xds_server.mesh.workload import Workload

GROUP = "AUTO_REGISTER_GROUP"
"""Node metadata: the WorkloadGroup, in the proxy's own namespace (Istio's word)."""
PORTS = "WORKLOAD_PORTS"
"""Node metadata: {service port name: number}, for a workload that listens elsewhere than its group says."""
WEIGHT = "WORKLOAD_WEIGHT"
"""Node metadata: its share of the requests, for one that differs from its group."""

Key = tuple[str, str, str, tuple[tuple[str, int], ...], str]
"""(namespace, group, address, ports, service account): two registrations with one key are one endpoint.

Another account cannot speak for it: what that one says is of an endpoint of its own, which its group does not take.
"""


@dataclass(frozen=True, slots=True, order=True)
class Registration:
    """One workload that registered itself.

    Attributes:
        address: an IP address.
        ports: (service port name, number), sorted; those that differ from its group's.
        locality: none is the group's.
        weight: 0 is the group's.
        service_account: what it proved to be; "" where nobody need prove anything.
        draining: it has left, and gets no new requests.
    """

    namespace: str
    group: str
    address: str
    ports: tuple[tuple[str, int], ...] = ()
    labels: Labels = ()
    locality: Locality = Locality()
    weight: int = 0
    network: str = ""
    service_account: str = ""
    draining: bool = False

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.namespace, self.group, self.address, self.ports, self.service_account

    @property
    def name(self) -> str:
        """Of the WorkloadEntry that it becomes: Istio's `group-address`, and the ports where it names some."""
        parts = (self.group, self.address.replace(":", "-"), *(str(number) for _, number in self.ports))
        return "-".join(parts)


def registration(
    workload: Workload, metadata: Mapping[str, object], *, peer: str = "", service_account: str = ""
) -> Registration | None:
    """What a proxy registers; None when it names no group, or can be reached nowhere.

    Args:
        workload: what else is known of it.
        metadata: its node's. Values of the wrong type are passed over, as in `mesh.workload`.
        peer: the IP address that it calls from: where it is reached, if it knows only loopback addresses itself.
        service_account: what it proved to be.
    """
    group = metadata.get(GROUP)
    address = _address(workload.addresses, peer)
    if not isinstance(group, str) or not group or not address:
        return None
    weight, network = _number(metadata.get(WEIGHT)), metadata.get("NETWORK")
    return Registration(
        namespace=workload.namespace,
        group=group,
        address=address,
        ports=_ports(metadata.get(PORTS)),
        labels=workload.labels,
        locality=workload.locality,
        weight=weight,
        network=network if isinstance(network, str) else "",
        service_account=service_account,
    )


def _address(own: tuple[str, ...], peer: str) -> str:
    """An address that others can reach first: a loopback one is good only between neighbours."""
    known = [text for text in (*own, peer) if is_ip_address(text)]
    reachable = (text for text in known if not ipaddress.ip_address(text).is_loopback)
    return next(reachable, known[0] if known else "")


def _ports(value: object) -> tuple[tuple[str, int], ...]:
    if not isinstance(value, Mapping):
        return ()
    found = ((str(name), _number(number)) for name, number in value.items())
    return tuple(sorted((name, number) for name, number in found if 0 < number < 65536))


def _number(value: object) -> int:
    """A whole number from a Struct, which has only floats, or from text; 0 for anything else."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    whole = isinstance(value, int | float) and 0 < value < 2**31 and float(value).is_integer()
    return int(value) if whole else 0  # type: ignore[call-overload]  # `whole` has seen that it is a number
