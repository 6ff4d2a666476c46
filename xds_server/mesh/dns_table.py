"""The names that a sidecar answers for, and the addresses that it gives: those of the services its workload may see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from xds_server.mesh.host import spellings
from xds_server.mesh.service import Service

DnsTable = tuple[tuple[str, tuple[str, ...]], ...]
"""(name, IP addresses), sorted by name."""


def dns_table(services: Iterable[Service], virtual: Mapping[tuple[str, str], str], viewer: str) -> DnsTable:
    """The table of a workload in namespace `viewer`.

    A name that several services answer to means the one that is called so, else the first by host, as it does in a
    Host header.

    Args:
        services: sorted by host, each host once.
        virtual: addresses of services that have none of their own, by (host, namespace).
        viewer: "" is a namespace that nothing is said of.
    """
    known = [(service, found) for service in services if (found := addresses_of(service, virtual))]
    table = {service.host: found for service, found in known}
    for service, found in known:
        for name in spellings(service.host, service.namespace, viewer):
            table.setdefault(name, found)
    return tuple(sorted(table.items()))


def addresses_of(service: Service, virtual: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    """Where connections to `service` may be addressed; a range is no address to give."""
    own = tuple(address for address in service.addresses if "/" not in address)
    found = virtual.get((service.host, service.namespace), "")
    return own or ((found,) if found else ())
