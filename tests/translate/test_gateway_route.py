"""Where requests that come in by a router go."""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.config.route import v3 as route_v3

from tests.builders import entry, istio
from tests.translate.gateways import gateway, rules, to, view
from tests.translate.shown import shown
from xds_server.mesh.view import View
from xds_server.translate.gateway_route import GatewayRouteTranslator

CLUSTERS = frozenset({"outbound|80||reviews", "outbound|80||ratings"})


def configurations(found: View, clusters: frozenset[str] = CLUSTERS) -> dict[str, list[dict[str, Any]]]:
    """The virtual hosts of each RouteConfiguration."""
    made = GatewayRouteTranslator().route_configurations(found, clusters)
    return {each.name: shown(route_v3.RouteConfiguration.parse(each.body)).get("virtual_hosts", []) for each in made}


def hosts(*parts: str) -> dict[str, list[str]]:
    """The names of the routes of each domain on port 80."""
    found = configurations(view(*parts))["http.80"]
    return {host["domains"][0]: [route.get("name", "") for route in host.get("routes", [])] for host in found}


def test_host_of_both_is_served() -> None:
    bound = rules("a.com, b.org", to(more="name: r"))

    assert hosts(gateway("80 HTTP '*.com'"), bound) == {"a.com": ["r"]}


def test_of_two_patterns_the_narrower_is_served() -> None:
    assert hosts(gateway("80 HTTP x.a.com, y.a.com".replace(", ", ",")), rules("'*.a.com'", to(more="name: r"))) == {
        "x.a.com": ["r"],
        "y.a.com": ["r"],
    }


def test_virtual_services_of_other_namespaces_are_kept_out() -> None:
    foreign = rules("a.com", to("reviews.default"), namespace="shop", gateways="default/edge")

    assert list(hosts(gateway("80 HTTP ./a.com"), foreign)) == ["*"]
    assert list(hosts(gateway("80 HTTP shop/a.com"), foreign)) == ["a.com"]


def test_servers_of_two_ports_that_one_service_brings_together_share_routes() -> None:
    """Each host is told by the port of its own server."""
    ports = ", ".join(f"{{number: {n}, name: p{n}, protocol: HTTP, targetPort: 8080}}" for n in (80, 81))
    own = entry("in", f"ports: [{ports}], workloadSelector: {{labels: {{istio: ingress}}}}")
    bound = rules("'*.com'", to(more="match: [{port: 81}]"))

    found = configurations(view(gateway("80 HTTP a.com", "81 HTTP b.com"), own, bound))

    assert {name: [host["name"] for host in hosts] for name, hosts in found.items()} == {"http.8080": ["b.com:81"]}


def test_rules_for_one_host_are_merged_and_what_takes_everything_is_last() -> None:
    every = rules("a.com", to(more="name: all"), name="a")
    some = rules("a.com", to(more="name: some, match: [{uri: {prefix: /x}}]"), name="b")

    assert hosts(gateway("80 HTTP a.com"), every, some) == {"a.com": ["some", "all"]}


def test_rule_for_another_gateway_or_port_is_left_out() -> None:
    mesh = to(more="name: m, match: [{gateways: [mesh]}, {port: 8080}, {gateways: [edge], uri: {prefix: /e}}]")

    assert hosts(gateway("80 HTTP a.com"), rules("a.com", mesh, gateways="edge, mesh")) == {"a.com": ["m"]}


def test_redirect_holds_for_every_host_of_its_server() -> None:
    found = configurations(view(gateway("80 HTTP a.com, tls: {httpsRedirect: true}"), rules("a.com", to())))
    empty = configurations(view(gateway("80 HTTP b.com, tls: {httpsRedirect: true}")))

    assert [host["require_tls"] for host in found["http.80"]] == ["ALL"]
    assert [(host["domains"], host["require_tls"], host.get("routes")) for host in empty["http.80"]] == [
        (["b.com"], "ALL", None)
    ]


def test_port_on_which_nothing_is_routed_knows_no_host() -> None:
    (host,) = configurations(view(gateway("80 HTTP a.com")))["http.80"]

    assert (host["name"], host["domains"]) == ("blackhole:80", ["*"])
    assert host["routes"][0]["direct_response"]["status"] == 404


def test_cluster_that_the_router_does_not_get_answers_503() -> None:
    found = configurations(view(gateway("80 HTTP a.com"), rules("a.com", to())), frozenset())

    assert found["http.80"][0]["routes"][0]["route"]["cluster"] == "BlackHoleCluster"


def test_one_host_made_anew_leaves_the_others() -> None:
    """Encoded virtual hosts are found again by what they were made from."""
    translator, found = GatewayRouteTranslator(), view(gateway("80 HTTP a.com"), rules("a.com", to()))

    first, second = (next(translator.route_configurations(found, CLUSTERS)) for _ in range(2))

    assert first.parts[0] is second.parts[0]


def test_headers_that_the_mesh_sets_are_those_of_routers_too() -> None:
    headers = "defaultConfig: {proxyHeaders: {attemptCount: {disabled: true}, xForwardedHost: {enabled: true}}}"
    mesh = istio("MeshConfig", headers, name="mesh").replace("/v1\n", "/v1alpha1\n")

    found = configurations(view(mesh, gateway("80 HTTP a.com"), rules("a.com", to(more="rewrite: {authority: b}"))))

    ((host,),) = found.values()
    assert "include_request_attempt_count" not in host
    assert host["routes"][0]["route"]["append_x_forwarded_host"] is True


def test_route_behind_one_that_takes_everything_stays_behind_it() -> None:
    """Routes of one VirtualService keep their order; of two, what takes everything makes way (Istio's rule)."""
    first = rules("a.com", f"{to(more='name: all')[:-1]}, {to(more='name: late, match: [{uri: {prefix: /b}}]')[7:]}")
    other = rules("a.com", to(more="name: other, match: [{uri: {prefix: /c}}]"), name="other")

    assert hosts(gateway("80 HTTP a.com"), first, other) == {"a.com": ["other", "all"]}


def test_route_that_takes_everything_on_its_port_makes_way_too() -> None:
    first = rules("a.com", to(more="name: here, match: [{port: 80}]"))
    other = rules("a.com", to(more="name: other, match: [{uri: {prefix: /c}}]"), name="other")

    assert hosts(gateway("80 HTTP a.com"), first, other) == {"a.com": ["other", "here"]}
