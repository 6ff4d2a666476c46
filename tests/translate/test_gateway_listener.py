"""What a router listens on."""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from tests.builders import entry, istio
from tests.translate.gateways import gateway, rules, to, view
from tests.translate.shown import shown
from xds_server.compiler.service_entry import UNMOVED_PORTS
from xds_server.translate.gateway_listener import file_secrets, gateway_listener, gateway_listeners
from xds_server.xds.resource import Resource

PASSED = "tls: {mode: PASSTHROUGH}"
OWN = "workloadSelector: {labels: {istio: ingress}}"
TCP = "tcp: [{match: [{port: 3306}], route: [{destination: {host: reviews, port: {number: 80}}}]}]"


def made(*parts: str) -> dict[str, Resource]:
    return {found.name: found for found in map(gateway_listener, gateway_listeners(view(*parts)))}


def matches(resource: Resource) -> list[tuple[dict[str, Any], str]]:
    """(match, RouteConfiguration or cluster) of each chain."""
    found = []
    for chain in shown(listener_v3.Listener.parse(resource.body))["filter_chains"]:
        config = chain["filters"][-1]["typed_config"]
        target = config["rds"]["route_config_name"] if "rds" in config else config["cluster"]
        found.append((chain.get("filter_chain_match", {}), target))
    return found


def test_plain_http_is_routed_by_one_configuration_for_each_port() -> None:
    found = made(gateway("80 HTTP a.com", "80 HTTP b.com", "8080 HTTP c.com, bind: 10.0.0.1"))

    assert list(found) == ["0.0.0.0_80", "10.0.0.1_8080"]
    assert matches(found["0.0.0.0_80"]) == [({}, "http.80")]
    assert matches(found["10.0.0.1_8080"]) == [({}, "http.8080.10.0.0.1")]


def test_tcp_goes_where_the_first_rule_sends_it_and_without_one_the_port_stays_closed() -> None:
    servers = gateway("3306 TCP '*'", "3307 TCP '*'")

    assert {name: matches(found) for name, found in made(servers, rules("'*'", TCP)).items()} == {
        "0.0.0.0_3306": [({}, "outbound|80||reviews")]
    }


def test_server_without_its_certificate_stays_closed() -> None:
    assert made(gateway("443 HTTPS a.com, tls: {mode: SIMPLE, credentialName: lost}")) == {}


def test_server_of_mesh_tls_stays_closed_without_an_identity() -> None:
    assert made(gateway("443 HTTPS a.com, tls: {mode: ISTIO_MUTUAL}")) == {}


def test_https_servers_are_told_by_name_and_routed_apart() -> None:
    files = "tls: {mode: SIMPLE, serverCertificate: /a, privateKey: /b}"

    (found,) = made(gateway(f"443 HTTPS a.com, {files}", f"443 HTTPS '*', {files}")).values()

    assert matches(found) == [
        ({"server_names": ["a.com"]}, "https.443.p0.edge.default"),
        ({}, "https.443.p1.edge.default"),
    ]


def test_certificate_in_a_file_has_the_origin_of_its_own_server() -> None:
    parts = [
        gateway(f"443 HTTPS {at}.com, tls: {{mode: SIMPLE, serverCertificate: /{at}, privateKey: /k}}", name=at)
        for at in ("a", "b")
    ]
    (plan,) = gateway_listeners(view(*parts))

    assert {found.name: [origin.name for origin in found.origins] for found in file_secrets(plan)} == {
        "file-cert:/a~/k": ["a"],
        "file-cert:/b~/k": ["b"],
    }


def test_plain_connections_behind_tls_have_a_chain_of_their_own() -> None:
    files = "tls: {mode: SIMPLE, serverCertificate: /a, privateKey: /b}"

    (found,) = made(gateway(f"80 HTTPS '*', {files}", "80 HTTP a.com")).values()

    assert matches(found) == [
        ({"transport_protocol": "tls"}, "https.80.p0.edge.default"),
        ({"transport_protocol": "raw_buffer"}, "http.80"),
    ]


def test_tls_is_passed_on_by_name_and_a_name_goes_where_the_first_sends_it() -> None:
    to_reviews, to_ratings = (f"[{{destination: {{host: {h}, port: {{number: 80}}}}}}]" for h in ("reviews", "ratings"))
    tls = (
        f"tls: [{{match: [{{sniHosts: [a.com]}}], route: {to_reviews}}},"
        f" {{match: [{{sniHosts: [a.com]}}, {{sniHosts: [b.com]}}], route: {to_ratings}}}]"
    )

    (found,) = made(gateway(f"443 TLS '*.com', {PASSED}"), rules("a.com, b.com", tls)).values()

    assert matches(found) == [
        ({"server_names": ["a.com"]}, "outbound|80||reviews"),
        ({"server_names": ["b.com"]}, "outbound|80||ratings"),
    ]


def test_name_that_a_server_ends_tls_for_is_not_passed_on_by_another() -> None:
    """Envoy refuses a listener two of whose chains ask for the same, with all its other chains."""
    tls = "tls: [{match: [{sniHosts: [a.com, b.com]}], route: [{destination: {host: reviews, port: {number: 80}}}]}]"
    ending = "443 HTTPS a.com, tls: {mode: SIMPLE, serverCertificate: /a, privateKey: /b}"

    (found,) = made(gateway(f"443 TLS '*.com', {PASSED}", ending), rules("a.com, b.com", tls)).values()

    assert matches(found) == [
        ({"server_names": ["b.com"]}, "outbound|80||reviews"),
        ({"server_names": ["a.com"]}, "https.443.p1.edge.default"),
    ]


def test_rule_for_a_host_that_the_server_does_not_let_in_is_passed_over() -> None:
    assert made(gateway("3306 TCP a.com"), rules("b.com", TCP)) == {}


def test_rule_for_a_wider_host_than_the_server_has_holds_for_it() -> None:
    """Bytes have no host to tell by: one in common is enough (Istio's rule)."""
    assert list(made(gateway("3306 TCP a.com"), rules("'*'", TCP))) == ["0.0.0.0_3306"]


def test_router_listens_at_every_target_of_its_own_services() -> None:
    listening = [
        entry(name, f"ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {to}}}], {OWN}")
        for name, to in (("in", 8080), ("too", 8081))
    ]

    found = made(gateway("80 HTTP a.com", "8081 HTTP b.com"), *listening)

    assert {name: matches(each) for name, each in found.items()} == {
        "0.0.0.0_8080": [({}, "http.8080")],
        "0.0.0.0_8081": [({}, "http.8081")],
    }


def test_service_may_say_nothing_of_where_routers_listen() -> None:
    port = "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]"
    own = entry("in", f"{port}, {OWN}").replace("{name: in", "{labels: {LABEL: ''}, name: in")

    assert list(made(gateway("80 HTTP a.com"), own.replace("LABEL", UNMOVED_PORTS))) == ["0.0.0.0_80"]
    assert list(made(gateway("80 HTTP a.com"), own.replace("LABEL", "other"))) == ["0.0.0.0_8080"]


def test_strangers_headers_are_not_believed() -> None:
    (found,) = made(gateway("80 HTTP a.com"), rules("a.com", to())).values()
    listener = shown(listener_v3.Listener.parse(found.body))

    config = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert config["use_remote_address"] is True
    assert config["forward_client_cert_details"] == "SANITIZE_SET"


def test_mesh_tls_is_passed_on_by_the_name_of_a_port_of_a_service_of_the_mesh() -> None:
    """Without a VirtualService; what is outside of the mesh, or not let in, has no chain."""
    inside = entry("a.local", "location: MESH_INTERNAL, endpoints: [{address: 10.0.0.1}]")
    rest = entry("b.local") + entry("a", "location: MESH_INTERNAL, endpoints: [{address: 10.0.0.1}]")
    subset = istio("DestinationRule", "host: a.local, subsets: [{name: v1}]")

    found = made(gateway('15443 TLS "*.local", tls: {mode: AUTO_PASSTHROUGH}'), inside, rest, subset)

    alpn = ["istio-peer-exchange", "istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"]
    wanted = ["outbound_.80_._.a.local", "outbound_.80_.v1_.a.local"]
    assert matches(found["0.0.0.0_15443"]) == [
        ({"server_names": [name], "application_protocols": alpn}, name) for name in wanted
    ]


def test_service_of_a_wildcard_host_has_no_name_to_be_passed_on_by() -> None:
    """Envoy refuses a listener that asks for a pattern within a name, with all its other chains."""
    inside = entry("a.local", "location: MESH_INTERNAL, endpoints: [{address: 10.0.0.1}]")
    many = entry("*.local", "location: MESH_INTERNAL, resolution: DYNAMIC_DNS, endpoints: []")

    (found,) = matches(
        made(gateway('15443 TLS "*.local", tls: {mode: AUTO_PASSTHROUGH}'), inside, many)["0.0.0.0_15443"]
    )

    assert found[1] == "outbound_.80_._.a.local"


def behind_proxies(*servers: str) -> dict[str, Any]:
    """The only listener of a router for whose connections there is a PROXY header."""
    topology = "defaultConfig: {gatewayTopology: {proxyProtocol: {}}}"
    mesh = istio("MeshConfig", topology, name="mesh").replace("/v1\n", "/v1alpha1\n")
    (found,) = made(mesh, gateway(*servers)).values()
    return shown(listener_v3.Listener.parse(found.body))


def test_proxy_header_is_taken_off_before_anything_else_is_looked_at() -> None:
    found = behind_proxies("443 HTTPS a.com, tls: {mode: SIMPLE, serverCertificate: /a, privateKey: /b}")

    assert [each["name"].rpartition(".")[2] for each in found["listener_filters"]] == [
        "proxy_protocol",
        "tls_inspector",
    ]


def test_nobody_comes_in_by_keeping_the_proxy_header_back() -> None:
    found = behind_proxies("443 HTTPS a.com, tls: {mode: SIMPLE, serverCertificate: /a, privateKey: /b}")

    assert "continue_on_listener_filters_timeout" not in found
    assert "listener_filters_timeout" not in found  # Envoy's own: 15 s
