"""Where a service's endpoints are: ClusterLoadAssignment, sent by EDS or inline in clusters that look names up.

Which endpoints go together, in what order, is decided in `locality.py`. Source: Istio, ServiceEntry and WorkloadEntry;
pilot/pkg/xds/endpoints.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.google import protobuf

from xds_server.mesh.route import Backend
from xds_server.mesh.service import Endpoint, Locality, Port, Protocol, Resolution, Service, canonical, labels_match
from xds_server.mesh.traffic import LoadBalancing
from xds_server.translate import names, pack
from xds_server.translate.health_check import endpoint_check
from xds_server.translate.locality import Caller, Group, groups
from xds_server.translate.metadata import struct
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

_UNIX = "unix://"


def load_assignments(backend: Backend, caller: Caller = Caller()) -> tuple[Resource, ...]:
    """One ClusterLoadAssignment per cluster of `backend` that asks for one by EDS; empty where no endpoint fits."""
    return tuple(
        _resource(backend, port, subset, caller)
        for port, subset in port_subsets(backend)
        if backend.service.resolution is Resolution.STATIC and not _passes_through(backend, port, subset)
    )


def local_assignment(service: Service | None, region: str) -> Resource:
    """Where a proxy's own service has endpoints in its region, by zone, for Envoy to compare other services with.

    Empty where nothing is known: then no zone is preferred.
    """
    known = service.endpoints if service is not None and service.resolution is Resolution.STATIC else ()
    near = sorted(each for each in known if each.healthy and each.locality.region == region)
    port = service.ports[0] if service is not None and service.ports else Port(0, "", Protocol.TCP)
    by_locality: dict[Locality, list[endpoint_v3.LbEndpoint]] = {}
    for each in near:
        where = address(each.address, each.port_for(port))
        endpoint = endpoint_v3.LbEndpoint(endpoint=endpoint_v3.Endpoint(address=where))
        by_locality.setdefault(each.locality, []).append(endpoint)
    message = endpoint_v3.ClusterLoadAssignment(
        cluster_name=names.LOCAL_CLUSTER,
        endpoints=[
            endpoint_v3.LocalityLbEndpoints(locality=_locality(locality), lb_endpoints=found)
            for locality, found in sorted(by_locality.items())
        ],
    )
    origins = service.origins if service is not None else ()
    return pack.resource(type_url.ENDPOINT, names.LOCAL_CLUSTER, message, origins=origins)


def port_subsets(backend: Backend) -> tuple[tuple[Port, str], ...]:
    """The (port, subset) pairs that have a cluster, the whole service as subset "" first. UDP has none (Istio)."""
    subsets = ("", *sorted(subset.name for subset in backend.traffic.subsets))
    ports = sorted(port for port in backend.service.ports if port.protocol is not Protocol.UDP)
    return tuple((port, subset) for port in ports for subset in subsets)


def is_looked_up(backend: Backend, port: Port, subset: str) -> bool:
    """Whether that cluster carries its endpoints within it, as names for Envoy to look up."""
    by_name = backend.service.resolution in {Resolution.DNS, Resolution.DNS_ROUND_ROBIN}
    return by_name and not _passes_through(backend, port, subset)


def load_assignment(
    backend: Backend, port: Port, subset: str, caller: Caller = Caller()
) -> endpoint_v3.ClusterLoadAssignment:
    """Endpoints of one port of one subset, grouped as `caller` is to use them."""
    policy = backend.traffic.policy_for(port.number, subset)
    grouped = groups(_endpoints_of(backend, subset), policy, caller)
    return endpoint_v3.ClusterLoadAssignment(
        cluster_name=names.outbound_cluster(port.number, subset, backend.service.host),
        endpoints=[_locality_endpoints(group, port, backend.service) for group in grouped],
    )


def address(host: str, port: int) -> core_v3.Address:
    """A socket address; `host` may be a "unix:///path", which has no port."""
    if host.startswith(_UNIX):
        return core_v3.Address(pipe=core_v3.Pipe(path=host.removeprefix(_UNIX)))
    return core_v3.Address(socket_address=core_v3.SocketAddress(address=host, port_value=port))


def _resource(backend: Backend, port: Port, subset: str, caller: Caller) -> Resource:
    message = load_assignment(backend, port, subset, caller)
    origins = backend.service.origins + backend.traffic.origins
    return pack.resource(type_url.ENDPOINT, message.cluster_name, message, origins=origins)


def _passes_through(backend: Backend, port: Port, subset: str) -> bool:
    """Whether the author wants traffic to go where it was addressed, whatever the endpoints."""
    balancer = backend.traffic.policy_for(port.number, subset).load_balancer
    return balancer.policy is LoadBalancing.PASSTHROUGH


def _endpoints_of(backend: Backend, subset: str) -> tuple[Endpoint, ...]:
    """Healthy endpoints that carry the subset's labels, sorted; a LOGICAL_DNS service has its first only (Istio)."""
    found = backend.traffic.subset(subset)
    healthy = (endpoint for endpoint in backend.service.endpoints if endpoint.healthy)
    chosen = sorted(e for e in healthy if found is None or labels_match(found.labels, e.labels))
    return tuple(chosen[:1] if backend.service.resolution is Resolution.DNS_ROUND_ROBIN else chosen)


def _locality_endpoints(group: Group, port: Port, service: Service) -> endpoint_v3.LocalityLbEndpoints:
    return endpoint_v3.LocalityLbEndpoints(
        locality=_locality(group.locality),
        lb_endpoints=[_lb_endpoint(endpoint, port, service) for endpoint in group.endpoints],
        load_balancing_weight=group.weight,
        priority=group.priority,
    )


def _locality(locality: Locality) -> core_v3.Locality | None:
    if locality == Locality():
        return None
    return core_v3.Locality(region=locality.region, zone=locality.zone, sub_zone=locality.sub_zone)


def _lb_endpoint(endpoint: Endpoint, port: Port, service: Service) -> endpoint_v3.LbEndpoint:
    status = core_v3.HealthStatus.DRAINING if endpoint.draining else core_v3.HealthStatus.UNKNOWN
    return endpoint_v3.LbEndpoint(
        endpoint=endpoint_v3.Endpoint(
            address=address(endpoint.address, endpoint.port_for(port)),
            hostname=_hostname(endpoint, port) if service.resolution is Resolution.STATIC else "",
            health_check_config=endpoint_check(service, endpoint),
        ),
        health_status=status,
        load_balancing_weight=endpoint.weight,
        metadata=_metadata(endpoint, port),
    )


def _hostname(endpoint: Endpoint, port: Port) -> str:
    """A name that nobody asks for, so that pooled connections are left when mesh TLS comes or goes.

    Envoy makes an endpoint anew when its name changes. With its metadata alone, every connection that is open would go
    on as before.
    """
    return "tls-istio" if endpoint.takes_mesh_tls(port) else ""


def _metadata(endpoint: Endpoint, port: Port) -> core_v3.Metadata | None:
    """Who it is, for statistics and access logs, and which transport socket it takes."""
    found: dict[str, protobuf.Struct] = {}
    if endpoint.workload:
        found["istio"] = struct({"workload": _workload(endpoint)})
    if endpoint.takes_mesh_tls(port):
        found["envoy.transport_socket_match"] = struct({"tlsMode": "istio"})
    return core_v3.Metadata(filter_metadata=found) if found else None


def _workload(endpoint: Endpoint) -> str:
    """Istio's "name;namespace;canonical name;canonical revision;cluster"; the cluster is empty here."""
    name, revision = canonical(endpoint.labels, endpoint.workload)
    return ";".join((endpoint.workload, endpoint.namespace, name, revision, ""))
