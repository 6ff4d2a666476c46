from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterLbPolicy,
)
from envoy_data_plane.envoy.extensions.network.dns_resolver.cares import v3 as cares_v3
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as http_v3

from tests.builders import backend, service, traffic_rule
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.proxy_settings import ProxyHeaders, ProxySettings
from xds_server.mesh.route import Backend
from xds_server.mesh.service import Endpoint, Locality, Port, Protocol, Resolution, Service
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.mesh.traffic import (
    ClientTls,
    ConnectionPool,
    LoadBalancer,
    LoadBalancing,
    OutlierDetection,
    PortPolicies,
    TlsMode,
    TrafficPolicy,
    TrafficRule,
)
from xds_server.mesh.view import InboundPort
from xds_server.mesh.workload import Interception
from xds_server.problem import Origin
from xds_server.translate.cluster import clusters, file_secrets, inbound_cluster, static_clusters
from xds_server.translate.locality import Caller
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
NAME = Endpoint("worker.example.com")


def parsed(resource: Resource) -> Cluster:
    return Cluster.parse(resource.body)


def cluster(found: Backend, caller: Caller = Caller()) -> Cluster:
    """The first cluster of a service: its first port, no subset."""
    return parsed(clusters(found, caller)[0])


def http_options(found: Cluster) -> http_v3.HttpProtocolOptions:
    options = found.typed_extension_protocol_options[HTTP_OPTIONS].unpack()
    assert isinstance(options, http_v3.HttpProtocolOptions)
    return options


def by_name(resources: tuple[Resource, ...]) -> dict[str, Cluster]:
    return {resource.name: parsed(resource) for resource in resources}


def test_a_service_has_a_cluster_per_port_and_subset() -> None:
    ports = (Port(53, "dns", Protocol.UDP), Port(90, "grpc", Protocol.GRPC), Port(80, "http", Protocol.HTTP))
    found = Backend(Service("reviews", "default", ports, Resolution.STATIC), traffic_rule(v2={}, v1={}))

    assert [resource.name for resource in clusters(found)] == [
        "outbound|80||reviews",
        "outbound|80|v1|reviews",
        "outbound|80|v2|reviews",
        "outbound|90||reviews",
        "outbound|90|v1|reviews",
        "outbound|90|v2|reviews",
    ]
    assert cluster(found).alt_stat_name == "outbound|80||reviews;"


def test_defaults_are_istios() -> None:
    """Connect timeout 10 s, least request, panic off, no ejection, no TLS, Envoy's HTTP/1.1."""
    found = cluster(backend(service()))

    assert found.connect_timeout == timedelta(seconds=10)
    assert found.lb_policy is ClusterLbPolicy.LEAST_REQUEST
    assert found.common_lb_config is not None
    assert found.common_lb_config.healthy_panic_threshold is not None
    assert found.common_lb_config.healthy_panic_threshold.value == 0
    assert found.circuit_breakers is not None
    assert found.outlier_detection is None
    assert found.transport_socket is None
    assert not found.typed_extension_protocol_options


def test_static_endpoints_come_by_eds_over_the_same_stream() -> None:
    (resource,) = clusters(backend(service()))
    found = parsed(resource)

    assert found.type is ClusterDiscoveryType.EDS
    assert found.load_assignment is None
    assert found.eds_cluster_config is not None
    assert found.eds_cluster_config.service_name == resource.name
    assert found.eds_cluster_config.eds_config is not None
    assert found.eds_cluster_config.eds_config.ads is not None
    assert resource.refs == ((type_url.ENDPOINT, resource.name),)


def test_endpoints_that_come_and_go_leave_their_cluster_as_it_is() -> None:
    one, other = (backend(service(endpoints=[Endpoint(address)])) for address in ("10.0.0.1", "10.0.0.2"))

    assert clusters(one) == clusters(other)


def test_names_are_looked_up_by_envoy() -> None:
    """Every 5 s and whatever the TTL says, Envoy's defaults: Docker's own DNS says 600 s."""
    (resource,) = clusters(backend(service(endpoints=[NAME], resolution=Resolution.DNS)))
    found = parsed(resource)

    assert found.type is ClusterDiscoveryType.STRICT_DNS
    assert found.dns_lookup_family is ClusterDnsLookupFamily.V4_ONLY
    assert found.dns_refresh_rate is None
    assert not found.respect_dns_ttl
    assert found.load_assignment is not None
    assert len(found.load_assignment.endpoints) == 1
    assert found.typed_dns_resolver_config is not None
    assert found.typed_dns_resolver_config.typed_config is not None
    assert found.typed_dns_resolver_config.typed_config.unpack() == cares_v3.CaresDnsResolverConfig(udp_max_queries=100)
    assert not resource.refs


def test_a_round_robin_name_is_a_logical_dns_cluster() -> None:
    found = cluster(backend(service(endpoints=[NAME], resolution=Resolution.DNS_ROUND_ROBIN)))

    assert found.type is ClusterDiscoveryType.LOGICAL_DNS


def test_a_round_robin_name_that_no_endpoint_has_stays_loadable() -> None:
    """A subset may select nothing; Envoy refuses a LOGICAL_DNS cluster without an endpoint."""
    found = cluster(backend(service(endpoints=[], resolution=Resolution.DNS_ROUND_ROBIN)))

    assert found.type is ClusterDiscoveryType.STRICT_DNS


def test_localities_of_names_are_ordered_for_the_calling_proxy() -> None:
    endpoints = [Endpoint(f"{region}.example.com", locality=Locality(region)) for region in ("us", "eu")]
    names = service(endpoints=endpoints, resolution=Resolution.DNS)
    found = backend(names, traffic_rule(TrafficPolicy(outlier_detection=OutlierDetection())))

    assignment = cluster(found, Caller(Locality("us"))).load_assignment

    assert assignment is not None
    assert [(e.priority, e.locality.region if e.locality else "") for e in assignment.endpoints] == [
        (0, "us"),
        (1, "eu"),
    ]


def test_without_resolution_traffic_goes_where_it_was_addressed() -> None:
    port = Port(80, "http", Protocol.HTTP, 8080)
    found = cluster(backend(service(port=port, endpoints=[], resolution=Resolution.NONE)))

    assert found.type is ClusterDiscoveryType.ORIGINAL_DST
    assert found.lb_policy is ClusterLbPolicy.CLUSTER_PROVIDED
    assert found.original_dst_lb_config is not None
    assert found.original_dst_lb_config.upstream_port_override == 8080


def test_passthrough_forgets_the_endpoints() -> None:
    policy = TrafficPolicy(LoadBalancer(LoadBalancing.PASSTHROUGH))
    static, names = service(), service(endpoints=[NAME], resolution=Resolution.DNS)

    for (resource,) in (clusters(backend(each, traffic_rule(policy))) for each in (static, names)):
        found = parsed(resource)
        assert found.type is ClusterDiscoveryType.ORIGINAL_DST
        assert found.lb_policy is ClusterLbPolicy.CLUSTER_PROVIDED
        assert found.load_assignment is None
        assert found.eds_cluster_config is None
        assert not resource.refs


def test_dynamic_names_are_the_requests_own() -> None:
    found = cluster(backend(service("*.example.com", endpoints=[], resolution=Resolution.DYNAMIC_DNS)))

    assert found.type is None
    assert found.cluster_type is not None
    assert found.cluster_type.name == "envoy.clusters.dynamic_forward_proxy"
    assert found.lb_policy is ClusterLbPolicy.CLUSTER_PROVIDED


@pytest.mark.parametrize("policy", [LoadBalancing.RING_HASH, LoadBalancing.MAGLEV])
def test_the_load_balancer_is_the_authors(policy: LoadBalancing) -> None:
    balancer = LoadBalancer(policy, ring_size=2048, table_size=65537)

    found = cluster(backend(service(), traffic_rule(TrafficPolicy(balancer))))

    assert found.lb_policy is ClusterLbPolicy[policy.value]
    assert (found.ring_hash_lb_config is not None) is (policy is LoadBalancing.RING_HASH)
    assert (found.maglev_lb_config is not None) is (policy is LoadBalancing.MAGLEV)


def test_each_port_has_its_own_policy() -> None:
    ports = (Port(80, "http", Protocol.HTTP), Port(90, "grpc", Protocol.GRPC))
    slow = TrafficPolicy(connection_pool=ConnectionPool(connect_timeout=timedelta(seconds=1)))
    rule = TrafficRule(PortPolicies(TrafficPolicy(), ((90, slow),)))

    found = [parsed(each) for each in clusters(Backend(Service("a", "default", ports, Resolution.STATIC), rule))]

    assert [each.connect_timeout for each in found] == [timedelta(seconds=10), timedelta(seconds=1)]


def test_ejection_and_its_error_codes_go_together() -> None:
    policy = TrafficPolicy(outlier_detection=OutlierDetection(http_error_codes=("503",)))

    found = cluster(backend(service(), traffic_rule(policy)))

    assert found.outlier_detection is not None
    assert http_options(found).outlier_detection is not None


def test_a_grpc_port_is_spoken_to_in_http2() -> None:
    options = http_options(cluster(backend(service(protocol=Protocol.GRPC))))

    assert options.explicit_http_config is not None
    assert options.explicit_http_config.http2_protocol_options is not None


def test_the_proxy_header_wraps_the_connection() -> None:
    found = cluster(backend(service(), traffic_rule(TrafficPolicy(proxy_protocol="V1"))))

    assert found.transport_socket is not None
    assert found.transport_socket.name == "envoy.transport_sockets.upstream_proxy_protocol"


def test_metadata_says_what_the_cluster_was_made_of() -> None:
    """What istioctl describes a cluster by."""
    rule = TrafficRule(
        subsets=traffic_rule(v1={}).subsets, origins=(Origin("a.yaml", 1, "DestinationRule", "prod", "tune"),)
    )
    found = Backend(Service("a", "prod", (Port(80, "http", Protocol.HTTP),), Resolution.STATIC, external=True), rule)

    subset = by_name(clusters(found))["outbound|80|v1|a"].metadata

    assert subset is not None
    assert subset.filter_metadata["istio"].to_dict() == {
        "config": "/apis/networking.istio.io/v1/namespaces/prod/destination-rule/tune",
        "services": [{"host": "a", "name": "a", "namespace": "prod"}],
        "subset": "v1",
        "external": True,
    }


def test_captured_traffic_has_a_way_through_in_both_directions() -> None:
    found = by_name(static_clusters(Interception.REDIRECT, OutboundPolicy.REGISTRY_ONLY))

    assert sorted(found) == ["BlackHoleCluster", "InboundPassthroughCluster", "PassthroughCluster"]
    for name in ("InboundPassthroughCluster", "PassthroughCluster"):
        assert found[name].type is ClusterDiscoveryType.ORIGINAL_DST
        assert found[name].lb_policy is ClusterLbPolicy.CLUSTER_PROVIDED
        assert http_options(found[name]).use_downstream_protocol_config is not None
    assert found["PassthroughCluster"].upstream_bind_config is None


def test_traffic_to_the_application_comes_from_an_address_that_is_not_captured_again() -> None:
    """127.0.0.6, which the capture rules let through."""
    passthrough = by_name(static_clusters(Interception.REDIRECT, OutboundPolicy.ALLOW_ANY))["InboundPassthroughCluster"]
    inbound = parsed(inbound_cluster(InboundPort(8080, Protocol.HTTP), Interception.REDIRECT))

    for found in (passthrough, inbound):
        assert found.upstream_bind_config is not None
        assert found.upstream_bind_config.source_address is not None
        assert found.upstream_bind_config.source_address.address == "127.0.0.6"
        assert found.upstream_bind_config.source_address.port_value == 0


def test_nothing_is_sent_into_the_black_hole() -> None:
    for interception in Interception:
        found = by_name(static_clusters(interception, OutboundPolicy.REGISTRY_ONLY))["BlackHoleCluster"]

        assert found.type is ClusterDiscoveryType.STATIC
        assert found.load_assignment is None


def test_without_capture_unknown_hosts_are_looked_up_if_they_are_allowed() -> None:
    """No connection has an original destination then: a passthrough cluster would answer 503."""
    allowed = by_name(static_clusters(Interception.NONE, OutboundPolicy.ALLOW_ANY))

    assert sorted(allowed) == ["AllowAnyDynamicDNSCluster", "BlackHoleCluster"]
    assert sorted(by_name(static_clusters(Interception.NONE, OutboundPolicy.REGISTRY_ONLY))) == ["BlackHoleCluster"]


def test_an_inbound_port_leads_to_where_the_traffic_was_addressed() -> None:
    resource = inbound_cluster(InboundPort(8080, Protocol.GRPC, "worker", 80), Interception.REDIRECT)
    found = parsed(resource)

    assert resource.name == found.name == "inbound|8080||"
    assert found.type is ClusterDiscoveryType.ORIGINAL_DST
    assert http_options(found).explicit_http_config is not None


@pytest.mark.parametrize("interception", Interception)
def test_a_default_endpoint_wins_over_where_the_traffic_was_addressed(interception: Interception) -> None:
    port = InboundPort(8080, Protocol.HTTP, default_endpoint="[::1]:9090")

    found = parsed(inbound_cluster(port, interception))

    assert found.type is ClusterDiscoveryType.STATIC
    assert found.upstream_bind_config is None
    assert found.load_assignment is not None
    (endpoint,) = found.load_assignment.endpoints[0].lb_endpoints
    assert endpoint.endpoint is not None
    assert endpoint.endpoint.address is not None
    assert endpoint.endpoint.address.socket_address is not None
    assert endpoint.endpoint.address.socket_address.address == "::1"
    assert endpoint.endpoint.address.socket_address.port_value == 9090


def test_an_inbound_port_that_leads_nowhere_has_no_endpoint() -> None:
    """Nothing was captured, so nothing was addressed."""
    found = parsed(inbound_cluster(InboundPort(8080, Protocol.HTTP), Interception.NONE))

    assert found.type is ClusterDiscoveryType.STATIC
    assert found.load_assignment is not None
    assert not found.load_assignment.endpoints


def test_cluster_that_cannot_be_secured_as_asked_has_no_endpoints() -> None:
    """Its requests are answered 503: plaintext is what its rule forbids."""
    rule = traffic_rule(TrafficPolicy(tls=ClientTls(TlsMode.ISTIO_MUTUAL)))
    (made,) = clusters(backend(service(), rule))
    found = parsed(made)

    assert (found.type, found.load_assignment, found.transport_socket) == (ClusterDiscoveryType.STATIC, None, None)
    assert made.refs == ()
    assert found.alt_stat_name == "outbound|9080||reviews;"


def test_cluster_of_mesh_tls_needs_the_proxys_own_secrets() -> None:
    proven = Endpoint("10.0.0.1", tls_mode="istio", service_account="a", namespace="default")
    (made,) = clusters(backend(service(endpoints=[proven])), Caller(trust_domain=TrustDomain()))

    assert {name for url, name in made.refs if url == type_url.SECRET} == {"default", "ROOTCA"}
    assert [match.name for match in parsed(made).transport_socket_matches] == ["tlsMode-istio", "tlsMode-disabled"]


def test_file_of_a_rule_is_one_secret_with_the_rules_origin() -> None:
    origin = Origin("a.yaml", 1, "DestinationRule", "prod", "tune")
    tls = ClientTls(TlsMode.SIMPLE, ca_certificates="/ca.crt")
    rule = replace(traffic_rule(TrafficPolicy(tls=tls), v1={"version": "v1"}), origins=(origin,))

    (secret,) = file_secrets(backend(service(), rule))

    assert (secret.name, secret.origins) == ("file-root:/ca.crt", (origin,))


def test_names_of_headers_stay_as_they_came_in_every_cluster_that_speaks_http_1() -> None:
    settings = ProxySettings(headers=ProxyHeaders(keeps_case=True))
    made = [
        *static_clusters(Interception.REDIRECT, OutboundPolicy.ALLOW_ANY, keeps_case=True),
        inbound_cluster(InboundPort(8080, Protocol.HTTP), Interception.REDIRECT, keeps_case=True),
        *clusters(backend("reviews"), Caller(settings=settings)),
    ]

    for each in made:
        assert each.name == "BlackHoleCluster" or b"PreserveCaseFormatterConfig" in each.body, each.name
