"""What one ServiceEntry means."""

from __future__ import annotations

from tests.builders import codes, compiled, document, entry, istio
from xds_server.compiler.service_entry import claims, joined, selected_labels
from xds_server.mesh.service import Endpoint, Port, Protocol, Resolution, Service


def made(text: str) -> Service:
    (claim,) = claims(document(text), ()).value
    return claim.made.value


def test_service_holds_what_is_written() -> None:
    text = istio(
        "ServiceEntry",
        "hosts: [API.example.com], addresses: [10.9.0.1], location: MESH_INTERNAL, resolution: STATIC,"
        " ports: [{number: 80, name: web, protocol: http, targetPort: 8080}], exportTo: [bank],"
        " subjectAltNames: [spiffe://a], endpoints: [{address: 10.0.0.1, labels: {v: v1}}]",
        namespace="shop",
    )
    found = made(text)

    assert (found.host, found.namespace, found.addresses) == ("api.example.com", "shop", ("10.9.0.1",))
    assert (found.external, found.resolution, found.export_to) == (False, Resolution.STATIC, ("bank",))
    assert found.ports == (Port(80, "web", Protocol.HTTP, 8080),)
    assert found.endpoints == (Endpoint("10.0.0.1", labels=(("v", "v1"),), namespace="shop"),)
    assert found.subject_alt_names == ("spiffe://a",)
    assert [origin.line for origin in found.origins] == [2]


def test_service_is_external_unless_said_otherwise() -> None:
    assert made(entry()).external


def test_each_host_is_a_service() -> None:
    text = entry().replace('["reviews"]', "[reviews, ratings]")

    assert [claim.made.value.host for claim in claims(document(text), ()).value] == ["reviews", "ratings"]


def test_unset_protocol_is_to_be_detected() -> None:
    assert made(entry(spec="ports: [{number: 80, name: web}]")).ports[0].protocol is Protocol.AUTO


def test_udp_port_is_not_served_and_said_so() -> None:
    text = entry(spec="ports: [{number: 53, name: dns, protocol: UDP}, {number: 80, name: web, protocol: HTTP}]")
    outcome = claims(document(text), ())

    assert [port.number for port in outcome.value[0].made.value.ports] == [80]
    assert codes(outcome.problems) == ["udp-port"]
    assert outcome.problems[0].field == "spec.ports[0].protocol"


def test_dns_service_without_endpoints_is_found_under_its_own_name() -> None:
    found = made(entry("worker", "resolution: DNS"))

    assert [endpoint.address for endpoint in found.endpoints] == ["worker"]


def test_dns_service_with_a_selector_waits_for_workloads() -> None:
    assert made(entry("worker", "resolution: DNS, workloadSelector: {labels: {app: worker}}")).endpoints == ()


def test_selector_is_sorted() -> None:
    assert selected_labels(document(entry(spec="workloadSelector: {labels: {b: x, a: z}}"))) == (("a", "z"), ("b", "x"))


def test_selector_that_chooses_nothing_is_reported() -> None:
    outcome = claims(document(entry(spec="workloadSelector: {labels: {app: worker}}")), ())

    assert codes(outcome.problems) == ["selects-nothing"]


def test_workload_with_a_name_is_skipped_under_static() -> None:
    """Istio skips it in silence."""
    mesh, problems = compiled(
        entry(spec="workloadSelector: {labels: {app: worker}}"),
        istio("WorkloadEntry", "address: worker-1, labels: {app: worker}", name="named"),
        istio("WorkloadEntry", "address: 10.0.0.9, labels: {app: worker}", name="numbered"),
    )

    assert [endpoint.address for endpoint in mesh.services[0].endpoints] == ["10.0.0.9"]
    assert [(problem.name, problem.code) for problem in problems] == [("named", "name-under-static")]


def test_workload_with_a_name_serves_a_dns_service() -> None:
    mesh, problems = compiled(
        entry(spec="resolution: DNS, workloadSelector: {labels: {app: worker}}"),
        istio("WorkloadEntry", "address: worker-1, labels: {app: worker}"),
    )

    assert [endpoint.address for endpoint in mesh.services[0].endpoints] == ["worker-1"]
    assert problems == ()


def test_workload_is_an_origin_of_the_service_that_it_serves() -> None:
    mesh, _ = compiled(
        entry(spec="workloadSelector: {labels: {app: worker}}"),
        istio("WorkloadEntry", "address: 10.0.0.9, labels: {app: worker}"),
    )

    assert [origin.kind for origin in mesh.services[0].origins] == ["ServiceEntry", "WorkloadEntry"]


def test_two_entries_for_one_host_join_their_endpoints_and_are_reported() -> None:
    second = entry(spec="endpoints: [{address: 10.0.0.2}]").replace("name: reviews", "name: second")
    outcome = joined(tuple(claim for text in (entry(), second) for claim in claims(document(text), ()).value))

    assert [endpoint.address for endpoint in outcome.value.endpoints] == ["10.0.0.1", "10.0.0.2"]
    assert [(problem.name, problem.code) for problem in outcome.problems] == [("second", "duplicate-service")]


def test_joined_endpoint_listens_where_its_own_entry_says() -> None:
    """The second entry calls the port otherwise, and has another target for it."""
    ports = "ports: [{number: 80, name: other, protocol: HTTP, targetPort: 8080}, {number: 81, name: more}]"
    second = entry(spec=f"{ports}, endpoints: [{{address: 10.0.0.2}}]")
    found = joined(tuple(claim for text in (entry(), second) for claim in claims(document(text), ()).value)).value

    assert [port.number for port in found.ports] == [80, 81]
    assert [found.endpoints[1].port_for(port) for port in found.ports] == [8080, 81]
    assert found.endpoints[0].port_for(found.ports[0]) == 80


def test_address_of_the_status_is_kept_for_those_who_look_names_up() -> None:
    text = entry(spec="resolution: STATIC") + "status: {addresses: [{value: 240.240.0.7}]}\n"

    (found,) = compiled(text)[0].services

    assert found.given_address == "240.240.0.7"
    assert found.addresses == ()


def test_host_that_tls_cannot_be_told_by_is_reported() -> None:
    tls = "ports: [{number: 443, name: tls, protocol: TLS}], resolution: NONE"

    assert codes(compiled(entry("*-a.com", tls))[1]) == ["partial-wildcard"]
    assert codes(compiled(entry("*-a.com", f"{tls}, addresses: [10.0.0.1]"))[1]) == []
    assert codes(compiled(entry("*.a.com", tls))[1]) == []
    assert codes(compiled(entry("*-a.com", "resolution: NONE"))[1]) == []


def test_endpoint_without_address_is_left_out_and_reported() -> None:
    """In Istio its network's gateway would stand for it."""
    text = entry(spec="endpoints: [{network: far}, {address: 10.0.0.1}], location: MESH_EXTERNAL")
    (problem,) = compiled(text)[1]

    assert [found.address for found in made(text).endpoints] == ["10.0.0.1"]
    assert (problem.code, problem.field) == ("no-address", "spec.endpoints[0]")
