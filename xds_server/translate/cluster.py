"""The clusters: one per port and subset of a service, one per inbound port, and the few that every proxy has.

The skeleton; each feature has its own module. Source: Istio, pilot/pkg/networking/core/cluster*.go, whose names and
defaults these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.extensions.network.dns_resolver.cares import v3 as cares_v3
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as http_v3
from envoy_data_plane.google import protobuf

from xds_server.mesh.route import Backend
from xds_server.mesh.service import Port, Resolution, Service
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.mesh.traffic import ConnectionPool, LoadBalancer, LoadBalancing, TrafficPolicy, TrafficRule
from xds_server.mesh.view import InboundPort
from xds_server.mesh.workload import Interception
from xds_server.translate import names, pack
from xds_server.translate.client_tls import ClientSecurity, client_security
from xds_server.translate.connection_pool import (
    circuit_breakers,
    downstream_protocol,
    http_protocol_options,
    speaks_http2,
    upstream_connection_options,
)
from xds_server.translate.dns_cluster import dns_cluster_type
from xds_server.translate.dynamic_dns import dynamic_dns_cluster_type
from xds_server.translate.encode import any_of, shared
from xds_server.translate.endpoint import address, is_looked_up, load_assignment, port_subsets
from xds_server.translate.file_secret import each_once, written_in
from xds_server.translate.health_check import health_checks
from xds_server.translate.load_balancer import (
    common_lb_config,
    lb_policy,
    least_request_config,
    maglev_config,
    ring_hash_config,
    round_robin_config,
)
from xds_server.translate.locality import Caller
from xds_server.translate.metadata import Plain, struct
from xds_server.translate.outlier_detection import error_matcher, outlier_detection
from xds_server.translate.stat_name import inbound_stat_name, outbound_stat_name
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_INBOUND_SOURCE = "127.0.0.6"
"""What the sidecar calls its application from, so that the capture rules let it through (Istio's address)."""
_DEFAULT_POOL = ConnectionPool()
_CLUSTER_PROVIDED = LoadBalancer(LoadBalancing.PASSTHROUGH)
"""What Envoy demands where the cluster itself knows its only endpoint."""
_DiscoveryType = cluster_v3.ClusterDiscoveryType
_LookupFamily = cluster_v3.ClusterDnsLookupFamily


def clusters(backend: Backend, caller: Caller = Caller()) -> tuple[Resource, ...]:
    """The outbound clusters of a service: each port but UDP, the whole service and each subset, sorted.

    Where `caller` stands matters to clusters that carry their endpoints within them: those that look host names up.
    """
    return tuple(_outbound(backend, port, subset, caller) for port, subset in port_subsets(backend))


def clusters_by_name(backend: Backend, caller: Caller = Caller()) -> tuple[Resource, ...]:
    """The same under the names that callers ask for in mesh TLS, which is passed on as it comes (Istio's SNI-DNAT)."""
    return tuple(_outbound(backend, port, subset, caller, by_name=True) for port, subset in port_subsets(backend))


def file_secrets(backend: Backend, caller: Caller = Caller()) -> tuple[Resource, ...]:
    """The files of the proxy that some cluster of a service reads certificates from, as secrets, each once."""
    found = (
        client_security(backend, *pair, caller.trust_domain, caller.credentials, settings=caller.settings).secrets
        for pair in _told_of_tls(backend)
    )
    return each_once(written_in((secret for secrets in found for secret in secrets), backend.traffic.origins))


def _told_of_tls(backend: Backend) -> Iterator[tuple[Port, str]]:
    """The clusters whose TLS stands in a DestinationRule, which alone names files."""
    return (pair for pair in port_subsets(backend) if backend.traffic.policy_for(pair[0].number, pair[1]).tls)


def inbound_cluster(
    port: InboundPort, interception: Interception, stat_name: str = "", *, keeps_case: bool = False
) -> Resource:
    """The way to the application for one inbound port.

    To where the traffic was addressed, or to the default endpoint where one is given. Without either (a port in NONE
    mode that names no default endpoint) there is nowhere to send to, and requests are answered 503.
    """
    addressed = not port.default_endpoint and not port.bound and interception is Interception.REDIRECT
    pool, name = port.pool, names.inbound_cluster(port.number)
    http = http_protocol_options(pool, port.protocol, keeps_case=keeps_case)
    message = cluster_v3.Cluster(
        name=name,
        alt_stat_name=names.alt_stat_name(inbound_stat_name(stat_name, port)),
        type=_DiscoveryType.ORIGINAL_DST if addressed else _DiscoveryType.STATIC,
        load_assignment=None if addressed else _fixed(name, port.default_endpoint),
        lb_policy=lb_policy(_CLUSTER_PROVIDED if addressed else LoadBalancer()),
        connect_timeout=pool.connect_timeout,
        circuit_breakers=circuit_breakers(pool),
        upstream_bind_config=_inbound_source() if addressed else None,
        upstream_connection_options=upstream_connection_options(pool),
        typed_extension_protocol_options=_protocol_options(http),
        metadata=_inbound_metadata(port),
    )
    return pack.resource(type_url.CLUSTER, name, message)


def static_clusters(
    interception: Interception, outbound_policy: OutboundPolicy, *, keeps_case: bool = False
) -> tuple[Resource, ...]:
    """The clusters that belong to the way of capture and not to any service.

    Where nothing is captured there is no original destination: unknown hosts are then looked up in DNS.
    """
    found = [_without_endpoints(names.BLACK_HOLE_CLUSTER)]
    if interception is Interception.REDIRECT:
        passing = names.PASSTHROUGH_CLUSTER, names.INBOUND_PASSTHROUGH_CLUSTER
        found += [_passthrough(name, keeps_case=keeps_case) for name in passing]
    elif outbound_policy is OutboundPolicy.ALLOW_ANY:
        found.append(_dynamic_dns(keeps_case=keeps_case))
    return tuple(pack.resource(type_url.CLUSTER, message.name, message) for message in found)


def _outbound(backend: Backend, port: Port, subset: str, caller: Caller, *, by_name: bool = False) -> Resource:
    service = backend.service
    policy = backend.traffic.policy_for(port.number, subset)
    assigned = names.outbound_cluster(port.number, subset, service.host)
    name = names.outbound_sni(port.number, subset, service.host) if by_name else assigned
    origins = service.origins + backend.traffic.origins
    called = names.alt_stat_name(outbound_stat_name(caller.settings.outbound_stat_name, service, port, subset))
    security = (
        ClientSecurity()
        if by_name
        else client_security(backend, port, subset, caller.trust_domain, caller.credentials, settings=caller.settings)
    )
    if security.refused:
        refusing = _without_endpoints(name, called)
        return pack.resource(type_url.CLUSTER, name, refusing, origins=origins)
    looked_up = is_looked_up(backend, port, subset)
    inline = load_assignment(backend, port, subset, caller) if looked_up else None
    kind = _discovery(service, policy, inline)
    refreshed = _refreshed(kind, caller.settings.dns_refresh) if looked_up else None
    http2 = speaks_http2(policy.connection_pool, port.protocol)
    checks = health_checks(service, http2=http2) if kind in _CHECKED else []
    balancer = _CLUSTER_PROVIDED if kind in {None, _DiscoveryType.ORIGINAL_DST} else policy.load_balancer
    http = _outbound_http_options(policy, port, security.http, keeps_case=caller.settings.headers.keeps_case)
    message = cluster_v3.Cluster(
        name=name,
        alt_stat_name=called,
        type=None if refreshed else kind,
        cluster_type=dynamic_dns_cluster_type() if kind is None else refreshed,
        eds_cluster_config=_eds(assigned) if kind is _DiscoveryType.EDS else None,
        load_assignment=inline,
        dns_lookup_family=_LookupFamily.V4_ONLY if looked_up and not refreshed else _LookupFamily.AUTO,
        typed_dns_resolver_config=_dns_resolver() if looked_up and not refreshed else None,
        original_dst_lb_config=_port_override(port) if service.resolution is Resolution.NONE else None,
        connect_timeout=policy.connection_pool.connect_timeout,
        lb_policy=lb_policy(balancer),
        ring_hash_lb_config=ring_hash_config(balancer),
        maglev_lb_config=maglev_config(balancer),
        least_request_lb_config=least_request_config(balancer),
        round_robin_lb_config=round_robin_config(balancer),
        common_lb_config=common_lb_config(policy, compares_zones=caller.compares_zones),
        health_checks=checks,
        # Else an endpoint that is gone would be sent requests until its check fails.
        ignore_health_on_host_removal=bool(checks),
        circuit_breakers=circuit_breakers(policy.connection_pool, policy.retry_budget),
        outlier_detection=outlier_detection(policy.outlier_detection) if policy.outlier_detection else None,
        upstream_connection_options=upstream_connection_options(policy.connection_pool),
        typed_extension_protocol_options=_protocol_options(http),
        transport_socket=security.socket,
        transport_socket_matches=list(security.matches),
        metadata=_outbound_metadata(service, backend.traffic, subset),
    )
    refs = [(type_url.ENDPOINT, assigned)] if kind is _DiscoveryType.EDS else []
    return pack.resource(type_url.CLUSTER, name, message, (*refs, *security.refs), origins)


_DISCOVERY = {
    Resolution.NONE: _DiscoveryType.ORIGINAL_DST,
    Resolution.STATIC: _DiscoveryType.EDS,
    Resolution.DNS: _DiscoveryType.STRICT_DNS,
    Resolution.DNS_ROUND_ROBIN: _DiscoveryType.LOGICAL_DNS,
    Resolution.DYNAMIC_DNS: None,
}


_CHECKED = frozenset({_DiscoveryType.EDS, _DiscoveryType.STRICT_DNS, _DiscoveryType.LOGICAL_DNS})
"""Clusters that know their endpoints before a connection comes."""


def _discovery(
    service: Service, policy: TrafficPolicy, inline: endpoint_v3.ClusterLoadAssignment | None
) -> _DiscoveryType | None:
    """How Envoy finds the endpoints; None for the dynamic forward proxy, which is an extension and no type."""
    if policy.load_balancer.policy is LoadBalancing.PASSTHROUGH:
        return _DiscoveryType.ORIGINAL_DST
    kind = _DISCOVERY[service.resolution]
    if kind is _DiscoveryType.LOGICAL_DNS and inline is not None and not inline.endpoints:
        return _DiscoveryType.STRICT_DNS  # Envoy refuses a LOGICAL_DNS cluster without an endpoint
    return kind


def _refreshed(kind: _DiscoveryType | None, refresh: timedelta | None) -> cluster_v3.ClusterCustomClusterType | None:
    """The discovery by DNS where the mesh says how often; None leaves it to Envoy's own kinds."""
    if refresh is None:
        return None
    return dns_cluster_type(refresh, _dns_resolver(), logical=kind is _DiscoveryType.LOGICAL_DNS)


def _eds(name: str) -> cluster_v3.ClusterEdsClusterConfig:
    """EDS over the stream that the cluster came on.

    The initial fetch timeout stays Envoy's 15 s: endpoints follow their cluster at once, and should they ever not, a
    cluster that already had some goes on with those.
    """
    return cluster_v3.ClusterEdsClusterConfig(eds_config=_ads(), service_name=name)


@shared
def _ads() -> core_v3.ConfigSource:
    return core_v3.ConfigSource(ads=core_v3.AggregatedConfigSource(), resource_api_version=core_v3.ApiVersion.V3)


def _dns_resolver() -> core_v3.TypedExtensionConfig:
    """Istio's resolver: a fresh socket after 100 queries, or c-ares may hold on to one that went stale.

    Unlike Istio (60 s, or the record's TTL) names are looked up again every 5 s, Envoy's default: where a name stands
    for containers that come and go, that is how soon a new one is used, and Docker's own DNS says a TTL of 600 s.
    """
    return core_v3.TypedExtensionConfig(
        name="envoy.network.dns_resolver.cares",
        typed_config=any_of(cares_v3.CaresDnsResolverConfig(udp_max_queries=100)),
    )


def _port_override(port: Port) -> cluster_v3.ClusterOriginalDstLbConfig | None:
    if port.target_port in {None, port.number}:
        return None
    return cluster_v3.ClusterOriginalDstLbConfig(upstream_port_override=port.target_port)


def _outbound_http_options(
    policy: TrafficPolicy, port: Port, upstream: core_v3.UpstreamHttpProtocolOptions | None, *, keeps_case: bool
) -> http_v3.HttpProtocolOptions | None:
    codes = policy.outlier_detection.http_error_codes if policy.outlier_detection else ()
    matcher = error_matcher(codes) if codes else None
    return http_protocol_options(policy.connection_pool, port.protocol, matcher, upstream, keeps_case=keeps_case)


def _protocol_options(options: http_v3.HttpProtocolOptions | None) -> dict[str, protobuf.Any]:
    return {} if options is None else {_HTTP_OPTIONS: any_of(options)}


def _outbound_metadata(service: Service, traffic: TrafficRule, subset: str) -> core_v3.Metadata:
    """What istioctl and access logs show of a cluster."""
    values: dict[str, Plain] = {
        "services": [{"host": service.host, "name": service.host, "namespace": service.namespace}],
    }
    if traffic.origins:
        rule = traffic.origins[0]
        values["config"] = names.config_path("destination-rule", rule.namespace, rule.name)
    if subset:
        values["subset"] = subset
    if service.external:
        values["external"] = True
    return core_v3.Metadata(filter_metadata={"istio": struct(values)})


def _inbound_metadata(port: InboundPort) -> core_v3.Metadata | None:
    if not port.service_host:
        return None
    values: dict[str, Plain] = {"services": [{"host": port.service_host, "name": port.service_host}]}
    return core_v3.Metadata(filter_metadata={"istio": struct(values)})


def _fixed(name: str, endpoint: str) -> endpoint_v3.ClusterLoadAssignment:
    """The one endpoint "127.0.0.1:8080", "[::1]:8080" or "unix:///path"; "" for none."""
    if not endpoint:
        return endpoint_v3.ClusterLoadAssignment(cluster_name=name)
    host, _, port = ("", "", "0") if endpoint.startswith("unix://") else endpoint.rpartition(":")
    where = address(host.strip("[]") or endpoint, int(port))
    lb_endpoint = endpoint_v3.LbEndpoint(endpoint=endpoint_v3.Endpoint(address=where))
    locality = endpoint_v3.LocalityLbEndpoints(lb_endpoints=[lb_endpoint])
    return endpoint_v3.ClusterLoadAssignment(cluster_name=name, endpoints=[locality])


def _without_endpoints(name: str, alt_stat_name: str = "") -> cluster_v3.Cluster:
    """A cluster whose requests are answered 503 and whose connections are closed."""
    return cluster_v3.Cluster(
        name=name,
        alt_stat_name=alt_stat_name,
        type=_DiscoveryType.STATIC,
        connect_timeout=_DEFAULT_POOL.connect_timeout,
    )


def _passthrough(name: str, *, keeps_case: bool) -> cluster_v3.Cluster:
    """To where the traffic was addressed, in whichever HTTP the client spoke."""
    inbound = name == names.INBOUND_PASSTHROUGH_CLUSTER
    return cluster_v3.Cluster(
        name=name,
        type=_DiscoveryType.ORIGINAL_DST,
        lb_policy=lb_policy(_CLUSTER_PROVIDED),
        connect_timeout=_DEFAULT_POOL.connect_timeout,
        circuit_breakers=circuit_breakers(_DEFAULT_POOL),
        upstream_bind_config=_inbound_source() if inbound else None,
        typed_extension_protocol_options=_as_the_client_spoke(keeps_case=keeps_case),
    )


def _dynamic_dns(*, keeps_case: bool) -> cluster_v3.Cluster:
    return cluster_v3.Cluster(
        name=names.DYNAMIC_DNS_CLUSTER,
        cluster_type=dynamic_dns_cluster_type(),
        lb_policy=lb_policy(_CLUSTER_PROVIDED),
        connect_timeout=_DEFAULT_POOL.connect_timeout,
        circuit_breakers=circuit_breakers(_DEFAULT_POOL),
        typed_extension_protocol_options=_as_the_client_spoke(keeps_case=keeps_case),
    )


def _as_the_client_spoke(*, keeps_case: bool) -> dict[str, protobuf.Any]:
    spoken = downstream_protocol(keeps_case=keeps_case)
    return _protocol_options(http_v3.HttpProtocolOptions(use_downstream_protocol_config=spoken))


def _inbound_source() -> core_v3.BindConfig:
    return core_v3.BindConfig(source_address=core_v3.SocketAddress(address=_INBOUND_SOURCE, port_value=0))
