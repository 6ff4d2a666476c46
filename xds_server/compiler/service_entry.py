"""What a ServiceEntry means: one Service per host, with endpoints written inline, chosen by labels or found by DNS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from xds_server.compiler.endpoint_identity import Placed, asked, identity_traps
from xds_server.compiler.export import export_to
from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.probe import health_check, health_port
from xds_server.compiler.workload_entry import endpoint, entry_endpoint, is_address, is_healthy, sorted_labels
from xds_server.mesh.host import normal
from xds_server.mesh.security import NO_POLICIES, PeerPolicies
from xds_server.mesh.service import Endpoint, Labels, Port, Protocol, Resolution, Service
from xds_server.policy.document import Document
from xds_server.policy.service_entry import Location, ServiceEntrySpec
from xds_server.policy.status import address
from xds_server.policy.values import is_whole_wildcard
from xds_server.problem import Problem

AUTO_ADDRESS = "networking.istio.io/enable-autoallocate-ip"
"""Label of a ServiceEntry: "false" keeps it from getting a virtual address (Istio's)."""
UNMOVED_PORTS = "experimental.istio.io/disable-gateway-port-translation"
"""Label of a ServiceEntry, whatever its value: its targetPorts say nothing of where routers listen (Istio's)."""
BY_NAME = frozenset({Resolution.DNS, Resolution.DNS_ROUND_ROBIN})
"""Resolutions under which an endpoint's address may be a DNS name."""


@dataclass(frozen=True, eq=False, slots=True)
class Claim:
    """A service as one document defines it. Compared by identity."""

    made: Outcome[Service]
    document: Document


def selected_labels(document: Document) -> Labels:
    """The labels that a ServiceEntry chooses WorkloadEntries by; () when it has no selector."""
    selector = _spec(document).workload_selector
    return sorted_labels(selector.labels) if selector else ()


def claims(
    document: Document,
    workloads: tuple[Document, ...],
    peers: PeerPolicies = NO_POLICIES,
    groups: tuple[Document, ...] = (),
) -> Outcome[tuple[Claim, ...]]:
    """The services of one document.

    Args:
        document: a ServiceEntry.
        workloads: the WorkloadEntries that it chose, registered ones included.
        peers: the policies of its namespace, where some of them switch mesh TLS off.
        groups: the WorkloadGroups whose workloads it would choose, in order of precedence.
    """
    spec = _spec(document)
    ports = ports_of(document)
    resolution = Resolution(spec.resolution)
    inline = [found for _, found in _inline(document)]
    check = health_check(groups)
    selected = [(workload, _probed(workload, groups)) for workload in workloads]
    usable = [(workload, found) for workload, found in selected if _usable(found, resolution)]
    endpoints = tuple(asked(e, ports.value, peers) for e in (*inline, *(found for _, found in usable)))
    selector = selected_labels(document)
    made = (
        Service(
            host=normal(host),
            namespace=document.namespace,
            ports=ports.value,
            resolution=resolution,
            endpoints=endpoints or _itself(normal(host), document),
            addresses=tuple(spec.addresses),
            selector=selector,
            export_to=export_to(document),
            external=spec.location is Location.MESH_EXTERNAL,
            subject_alt_names=tuple(spec.subject_alt_names),
            origins=tuple(dict.fromkeys((document.origin, *(workload.origin for workload, _ in usable)))),
            health_check=check.value,
            auto_address=document.labels.get(AUTO_ADDRESS) != "false",
            given_address=address(document.status, host),
            moves_gateway_ports=UNMOVED_PORTS not in document.labels,
        )
        for host in spec.hosts
    )
    skipped = [_skipped(workload, found, document) for workload, found in selected if not _usable(found, resolution)]
    found = tuple(Claim(Outcome(service), document) for service in made)
    traps = identity_traps(placed_endpoints(document, workloads), external=spec.location is Location.MESH_EXTERNAL)
    own = (*_without_address(document), *_selects_nothing(document, (*workloads, *groups)), *_odd_hosts(document))
    return Outcome(found, (*ports.problems, *check.problems, *skipped, *_unhealthy(workloads), *own, *traps))


def placed_endpoints(document: Document, workloads: tuple[Document, ...]) -> tuple[Placed, ...]:
    """The endpoints of one document, and where each is written."""
    spec = _spec(document)
    inline = _inline(document)
    chosen = [(Place(workload), entry_endpoint(workload)) for workload in workloads]
    usable = [(place, found) for place, found in chosen if _usable(found, Resolution(spec.resolution))]
    itself = [(Place(document).at("hosts"), found) for host in spec.hosts for found in _itself(normal(host), document)]
    return (*inline, *usable) or tuple(itself)


def _inline(document: Document) -> list[Placed]:
    """The endpoints written in it that have an address."""
    return [
        (Place(document).at("endpoints", index), endpoint(entry, entry.labels, namespace=document.namespace))
        for index, entry in enumerate(_spec(document).endpoints)
        if entry.address
    ]


def _without_address(document: Document) -> list[Problem]:
    """In Istio the gateway of its network stands for such an endpoint; here nobody knows of any."""
    message = "has no address, so nothing is sent to it: no gateway of its network is known"
    return [
        Place(document).at("endpoints", index).warning("no-address", message, "give it an address, or remove it")
        for index, entry in enumerate(_spec(document).endpoints)
        if not entry.address
    ]


def ports_of(document: Document) -> Outcome[tuple[Port, ...]]:
    """TCP ports. UDP ones are dropped and said to be: Envoy's sidecar carries none."""
    found, problems = [], []
    for index, port in enumerate(_spec(document).ports):
        protocol = Protocol(port.protocol)
        if protocol is Protocol.UDP:
            place = Place(document).at("ports", index, "protocol")
            message = f"port {port.number} is UDP, which sidecars do not carry: it is not served"
            problems.append(place.warning("udp-port", message, "let UDP pass outside the mesh, or remove the port"))
        else:
            found.append(Port(port.number, port.name, protocol, port.target_port))
    return Outcome(tuple(found), tuple(problems))


def _probed(workload: Document, groups: tuple[Document, ...]) -> Endpoint:
    found = entry_endpoint(workload)
    port = health_port(workload, found, groups)
    return replace(found, health_port=port) if port else found


def _usable(found: Endpoint, resolution: Resolution) -> bool:
    return bool(found.address) and (resolution in BY_NAME or is_address(found.address))


def _itself(host: str, document: Document) -> tuple[Endpoint, ...]:
    """A DNS service without endpoints is found under its own name; one with a selector waits for workloads."""
    spec = _spec(document)
    if Resolution(spec.resolution) not in BY_NAME or spec.workload_selector:
        return ()
    return (Endpoint(address=host, namespace=document.namespace),)


def _skipped(workload: Document, found: Endpoint, entry: Document) -> Problem:
    place = Place(workload).at("address")
    if not found.address:
        return place.warning("no-address", f"has no address, so {entry.origin} cannot send to it", "give it an address")
    return place.warning(
        "name-under-static",
        f"{found.address} is a name, but {entry.origin} has resolution {_spec(entry).resolution}: it is skipped",
        "give an IP address, or set resolution: DNS in the ServiceEntry",
    )


def _unhealthy(workloads: tuple[Document, ...]) -> list[Problem]:
    return [
        Place(workload, ("status",)).note(
            "unhealthy", "is reported not to be healthy: nothing is sent to it", "remove status once it is well again"
        )
        for workload in workloads
        if not is_healthy(workload)
    ]


def _odd_hosts(document: Document) -> Iterator[Problem]:
    """TLS is told by name where there is no address to tell it by."""
    spec = _spec(document)
    ports = [str(port.number) for port in spec.ports if Protocol(port.protocol).is_tls]
    if not ports or any("/" not in address for address in spec.addresses):
        return
    for index, host in enumerate(spec.hosts):
        if not is_whole_wildcard(host):
            message = f"Envoy compares whole labels only, so no TLS connection to port {', '.join(ports)} is {host}"
            yield Place(document).at("hosts", index).warning("partial-wildcard", message, "write *. and whole labels")


def _selects_nothing(document: Document, chosen: tuple[Document, ...]) -> list[Problem]:
    if _spec(document).workload_selector is None or chosen:
        return []
    where = f"of namespace {document.namespace}"
    message = f"no WorkloadEntry or WorkloadGroup {where} carries these labels: the service has no endpoint"
    fix = "correct the labels, or add a WorkloadEntry that carries them"
    return [Place(document).at("workloadSelector").warning("selects-nothing", message, fix)]


def joined(claims: tuple[Claim, ...]) -> Outcome[Service]:
    """One service out of several for one host and namespace: endpoints and ports joined, all else from the first.

    Istio joins the endpoints and silently keeps the first of what clashes.
    """
    first, *others = claims
    service = first.made.value
    for claim in others:
        service = _with(service, claim.made.value)
    problems = tuple(
        Place(claim.document)
        .at("hosts")
        .warning(
            "duplicate-service",
            f"{service.host} is defined by {first.document.origin} too: endpoints are joined, all else is from there",
            "write the service once",
        )
        for claim in others
    )
    return Outcome(service, problems)


def _with(service: Service, other: Service) -> Service:
    known = {port.number for port in service.ports}
    ports = tuple(sorted((*service.ports, *(port for port in other.ports if port.number not in known))))
    endpoints = tuple(replace(found, ports=_renamed(found, other, ports)) for found in other.endpoints)
    return replace(
        service,
        ports=ports,
        endpoints=tuple(dict.fromkeys((*service.endpoints, *endpoints))),
        addresses=tuple(dict.fromkeys((*service.addresses, *other.addresses))),
        origins=tuple(dict.fromkeys((*service.origins, *other.origins))),
    )


def _renamed(found: Endpoint, other: Service, ports: tuple[Port, ...]) -> tuple[tuple[str, int], ...]:
    """Where an endpoint of `other` listens, under the names that the joined service gives the same port numbers."""
    numbers = {port.number: found.port_for(port) for port in other.ports}
    return tuple(sorted((port.name, numbers[port.number]) for port in ports if port.number in numbers))


def _spec(document: Document) -> ServiceEntrySpec:
    return cast("ServiceEntrySpec", document.spec)
