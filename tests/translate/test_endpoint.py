from __future__ import annotations

from envoy_data_plane.envoy.config.core.v3 import HealthStatus
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3

from tests.builders import backend, endpoint, service, traffic_rule
from tests.translate.shown import shown
from xds_server.mesh.route import Backend
from xds_server.mesh.service import Endpoint, Locality, Port, Protocol, Resolution, Service
from xds_server.mesh.traffic import LoadBalancer, LoadBalancing, OutlierDetection, TrafficPolicy, TrafficRule
from xds_server.problem import Origin
from xds_server.translate.endpoint import (
    address,
    load_assignment,
    load_assignments,
    local_assignment,
    port_subsets,
)
from xds_server.translate.locality import Caller
from xds_server.xds import type_url

HTTP = Port(80, "http", Protocol.HTTP, 8080)


def assignment(*endpoints: Endpoint) -> endpoint_v3.ClusterLoadAssignment:
    return load_assignment(backend(service(port=HTTP, endpoints=endpoints)), HTTP, "")


def only(*endpoints: Endpoint) -> endpoint_v3.LbEndpoint:
    ((found,),) = [locality.lb_endpoints for locality in assignment(*endpoints).endpoints]
    return found


def where(found: endpoint_v3.LbEndpoint) -> tuple[str, int | None]:
    assert found.endpoint is not None
    assert found.endpoint.address is not None
    assert found.endpoint.address.socket_address is not None
    return found.endpoint.address.socket_address.address, found.endpoint.address.socket_address.port_value


def addresses(resource_body: bytes) -> list[str]:
    parsed = endpoint_v3.ClusterLoadAssignment.parse(resource_body)
    return [where(found)[0] for locality in parsed.endpoints for found in locality.lb_endpoints]


def test_every_port_and_subset_has_an_assignment_named_as_its_cluster() -> None:
    ports = (Port(80, "http", Protocol.HTTP), Port(90, "grpc", Protocol.GRPC))
    found = Backend(Service("reviews", "default", ports, Resolution.STATIC), traffic_rule(v1={}))

    assert [resource.name for resource in load_assignments(found)] == [
        "outbound|80||reviews",
        "outbound|80|v1|reviews",
        "outbound|90||reviews",
        "outbound|90|v1|reviews",
    ]
    assert {resource.type_url for resource in load_assignments(found)} == {type_url.ENDPOINT}


def test_a_udp_port_has_none() -> None:
    """Nor has it a cluster, in Istio as here."""
    assert not port_subsets(backend(service(port=Port(53, "dns", Protocol.UDP))))


def test_a_subset_has_the_endpoints_that_carry_its_labels() -> None:
    endpoints = [endpoint("10.0.0.1", version="v1"), endpoint("10.0.0.2", version="v2")]
    found = backend(service(endpoints=endpoints), traffic_rule(v2={"version": "v2"}, v3={"version": "v3"}))

    whole, second, third = load_assignments(found)

    assert addresses(whole.body) == ["10.0.0.1", "10.0.0.2"]
    assert addresses(second.body) == ["10.0.0.2"]
    assert addresses(third.body) == []


def test_an_assignment_without_endpoints_is_sent_empty() -> None:
    """A cluster whose assignment never came would warm for 15 s and hold everything up."""
    (resource,) = load_assignments(backend(service(endpoints=())))

    assert endpoint_v3.ClusterLoadAssignment.parse(resource.body).cluster_name == resource.name


def test_the_order_of_endpoints_changes_no_byte() -> None:
    endpoints = [endpoint("10.0.0.1"), endpoint("10.0.0.2")]
    one, other = (backend(service(endpoints=order)) for order in (endpoints, endpoints[::-1]))

    assert load_assignments(one)[0].body == load_assignments(other)[0].body


def test_endpoints_listen_on_their_own_port_or_the_services_target() -> None:
    assert where(only(Endpoint("10.0.0.1"))) == ("10.0.0.1", 8080)
    assert where(only(Endpoint("10.0.0.1", ports=(("http", 9090),)))) == ("10.0.0.1", 9090)


def test_a_unix_socket_is_a_pipe() -> None:
    found = address("unix:///run/app.sock", 80)

    assert found.pipe is not None
    assert found.pipe.path == "/run/app.sock"
    assert found.socket_address is None


def test_weight_and_draining_are_the_endpoints() -> None:
    found = only(Endpoint("10.0.0.1", weight=3, draining=True))

    assert found.load_balancing_weight == 3
    assert found.health_status is HealthStatus.DRAINING
    assert only(Endpoint("10.0.0.1")).health_status is HealthStatus.UNKNOWN


def test_metadata_names_the_workload_and_its_mesh_tls() -> None:
    labels = (("app", "worker"), ("version", "v1"))
    found = only(Endpoint("10.0.0.1", labels=labels, namespace="prod", workload="worker-1", tls_mode="istio"))

    assert found.metadata is not None
    assert found.metadata.to_dict() == {
        "filterMetadata": {
            "istio": {"workload": "worker-1;prod;worker;v1;"},
            "envoy.transport_socket_match": {"tlsMode": "istio"},
        }
    }
    assert only(Endpoint("10.0.0.1")).metadata is None


def test_an_endpoint_without_locality_says_none() -> None:
    with_one = assignment(Endpoint("10.0.0.1", locality=Locality("us", "a"))).endpoints[0]

    assert assignment(Endpoint("10.0.0.1")).endpoints[0].locality is None
    assert with_one.locality is not None
    assert (with_one.locality.region, with_one.locality.zone, with_one.locality.sub_zone) == ("us", "a", "")


def test_priorities_are_those_of_the_calling_proxy() -> None:
    """Two proxies in two regions get different bytes for one service."""
    endpoints = [Endpoint(f"10.0.0.{n}", locality=Locality(region)) for n, region in enumerate(("us", "eu"))]
    found = backend(service(endpoints=endpoints), traffic_rule(TrafficPolicy(outlier_detection=OutlierDetection())))

    (us,), (eu,) = (load_assignments(found, Caller(Locality(region))) for region in ("us", "eu"))

    assert addresses(us.body) == ["10.0.0.0", "10.0.0.1"]
    assert addresses(eu.body) == ["10.0.0.1", "10.0.0.0"]


def test_only_clusters_that_ask_by_eds_have_a_resource() -> None:
    passing = traffic_rule(TrafficPolicy(LoadBalancer(LoadBalancing.PASSTHROUGH)))
    others = [service(resolution=resolution) for resolution in Resolution if resolution is not Resolution.STATIC]

    assert not load_assignments(backend(service(), passing))
    assert not any(load_assignments(backend(other)) for other in others)


def test_a_round_robin_name_is_one_endpoint() -> None:
    """Envoy refuses a LOGICAL_DNS cluster with two; Istio takes the first."""
    endpoints = (Endpoint("b.example.com"), Endpoint("a.example.com"))
    found = backend(service(port=HTTP, endpoints=endpoints, resolution=Resolution.DNS_ROUND_ROBIN))

    ((only_one,),) = [locality.lb_endpoints for locality in load_assignment(found, HTTP, "").endpoints]

    assert where(only_one)[0] == "a.example.com"


def test_an_assignment_names_the_documents_behind_it() -> None:
    """Whoever explains a NACK must find the file."""
    entry, rule = (Origin("a.yaml", 1, kind, "default", "a") for kind in ("ServiceEntry", "DestinationRule"))
    found = Backend(Service("a", "default", (HTTP,), Resolution.STATIC, origins=(entry,)), TrafficRule(origins=(rule,)))

    assert load_assignments(found)[0].origins == (rule, entry)


def test_endpoint_that_is_known_not_to_work_is_left_out() -> None:
    found = assignment(Endpoint("10.0.0.1", healthy=False), Endpoint("10.0.0.2"))

    assert [where(each)[0] for locality in found.endpoints for each in locality.lb_endpoints] == ["10.0.0.2"]


def test_endpoint_that_takes_mesh_tls_says_so_to_the_sockets_of_its_cluster() -> None:
    """By port: a policy may switch it off on one of them. The name makes Envoy leave pooled connections."""
    proven = Endpoint("10.0.0.1", tls_mode="istio", plaintext_ports=(81,))
    ports = (Port(80, "a", Protocol.HTTP), Port(81, "b", Protocol.HTTP))
    found = backend(Service("web", "default", ports, Resolution.STATIC, (proven,)))

    taking, plain = (shown(load_assignment(found, port, ""))["endpoints"][0]["lb_endpoints"][0] for port in ports)
    assert taking["metadata"]["filter_metadata"]["envoy.transport_socket_match"] == {"tlsMode": "istio"}
    assert taking["endpoint"]["hostname"] == "tls-istio"
    assert "metadata" not in plain
    assert "hostname" not in plain["endpoint"]


def test_endpoints_of_a_proxys_own_service_are_those_of_its_region_by_zone() -> None:
    places = (Locality("r1", "z1"), Locality("r1", "z2"), Locality("r2", "z1"))
    endpoints = tuple(Endpoint(f"10.0.0.{number}", locality=place) for number, place in enumerate(places))

    found = endpoint_v3.ClusterLoadAssignment.parse(local_assignment(service(endpoints=endpoints), "r1").body)

    assert found.cluster_name == "local_cluster"
    assert [each.locality.zone for each in found.endpoints if each.locality] == ["z1", "z2"]


def test_a_proxy_that_serves_nothing_has_no_zones_to_compare() -> None:
    assert endpoint_v3.ClusterLoadAssignment.parse(local_assignment(None, "r1").body).endpoints == []
