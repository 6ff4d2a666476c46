"""What one workload may see, and which workloads see the same."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import compiled, entry, istio, policy_set, workload
from xds_server.compiler.compile import compile_mesh
from xds_server.memo import Memo
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.security import MutualTls
from xds_server.mesh.service import Protocol
from xds_server.mesh.view import view_for
from xds_server.mesh.workload import Interception, NodeType

BY_RACK = istio(
    "DestinationRule",
    "host: reviews, trafficPolicy: {outlierDetection: {},"
    ' loadBalancer: {localityLbSetting: {failoverPriority: [rack, "tier=fast"]}}}',
)


def test_workloads_share_a_view_unless_failover_priority_tells_them_apart() -> None:
    mesh, _ = compiled(entry(), BY_RACK)
    one = view_for(mesh, workload(rack="1", app="a", tier="slow"))

    assert one.labels == (("rack", "1"),)
    assert view_for(mesh, workload(rack="1", app="b", tier="fast")) == one
    assert view_for(mesh, workload(rack="2", app="a", tier="slow")) != one


def test_labels_that_no_policy_asks_for_are_in_no_view() -> None:
    mesh, _ = compiled(entry())

    assert view_for(mesh, workload(rack="1")) == view_for(mesh, workload(rack="2"))


def authentication(spec: str, *, namespace: str = "shop") -> str:
    return istio("PeerAuthentication", spec, namespace=namespace)


SERVED = entry("web", "workloadSelector: {labels: {app: web}}", namespace="shop")
WEB = replace(workload("web-1", namespace="shop", app="web"), interception=Interception.REDIRECT)


def test_identity_of_a_workload_is_no_part_of_its_view() -> None:
    """A thousand proxies with a key each share what else they are sent."""
    mesh, _ = compiled(entry())
    domain = TrustDomain()

    one, two = (view_for(mesh, replace(workload(), service_account=account), domain) for account in "ab")

    assert one == two
    assert one.trust_domain is domain
    assert view_for(mesh, workload()).trust_domain is None


def test_inbound_ports_ask_what_their_policy_says() -> None:
    policy = "selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}, portLevelMtls: {80: {mode: STRICT}}"
    mesh, _ = compiled(SERVED, authentication(policy))
    view = view_for(mesh, WEB)

    assert [(port.number, port.mutual_tls) for port in view.inbound] == [(80, MutualTls.STRICT)]
    assert view.mutual_tls is MutualTls.DISABLE


def test_port_that_only_a_policy_names_is_captured_for_it() -> None:
    """Or what comes in there would be asked for less."""
    policy = "selector: {matchLabels: {app: web}}, portLevelMtls: {9000: {mode: STRICT}}"
    mesh, _ = compiled(SERVED, authentication(policy))

    extra = view_for(mesh, WEB).inbound[-1]
    assert (extra.number, extra.protocol, extra.mutual_tls) == (9000, Protocol.AUTO, MutualTls.STRICT)
    assert extra.passed_on
    assert view_for(mesh, replace(WEB, interception=Interception.NONE)).inbound == ()


def test_workload_is_selected_by_the_labels_of_its_entry_too() -> None:
    """A sidecar that was started without labels must not slip from under a policy."""
    entered = istio("WorkloadEntry", "address: 10.0.0.1, labels: {app: web}", name="web-1", namespace="shop")
    mesh, _ = compiled(SERVED, entered, authentication("selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}"))
    bare = replace(WEB, labels=())

    assert view_for(mesh, bare).mutual_tls is MutualTls.STRICT
    assert view_for(mesh, replace(bare, name="other", addresses=("10.0.0.1",))).mutual_tls is MutualTls.STRICT
    assert view_for(mesh, replace(bare, name="other")).mutual_tls is MutualTls.PERMISSIVE


def test_only_a_proxy_that_compares_zones_is_told_of_its_own_service() -> None:
    mesh, _ = compiled(entry(spec="endpoints: [{address: 10.0.0.1}]"))
    serving = replace(workload(), addresses=("10.0.0.1",))

    compares = view_for(mesh, replace(serving, self_discovery=True))
    assert compares.compares_zones
    assert compares.own_service is not None
    assert compares.own_service.host == "reviews"
    assert view_for(mesh, serving).own_service is None
    assert view_for(mesh, replace(workload(), self_discovery=True)).own_service is None
    router = view_for(mesh, replace(serving, self_discovery=True, node_type=NodeType.ROUTER))
    assert (router.compares_zones, router.own_service) == (True, compares.own_service)


def test_a_sidecar_is_given_the_credentials_of_rules_that_select_it_and_that_are_there() -> None:
    tls = "trafficPolicy: {tls: {mode: MUTUAL, credentialName: bank}}"
    rule = istio("DestinationRule", f"host: reviews, workloadSelector: {{matchLabels: {{app: teller}}}}, {tls}")
    for_all = istio("DestinationRule", f"host: reviews, {tls}", name="all")
    there = frozenset({"bank", "bank-cacert", "other"})

    mesh, _ = compile_mesh(policy_set(entry(), rule, for_all), Memo(), credentials=there)
    assert view_for(mesh, workload(app="teller")).credentials == {"bank", "bank-cacert"}
    assert view_for(mesh, workload(app="other")).credentials == frozenset()
    assert view_for(mesh, workload(app="teller", namespace="elsewhere")).credentials == frozenset()


def seen(egress: str, *parts: str) -> dict[str, list[str]]:
    """The routes by name, of each host that a sidecar of namespace shop sees through this egress."""
    sidecar = istio("Sidecar", f"egress: [{{hosts: [{egress}]}}]", namespace="shop")
    services = (entry("web", namespace="shop"), entry("reviews"))
    view = view_for(compiled(*services, *parts, sidecar)[0], workload("a", namespace="shop"))
    return {found.host: [route.name for route in found.routes] for found in view.virtual_hosts}


def rule(host: str, namespace: str) -> str:
    """A VirtualService whose route bears the name of its namespace."""
    to = "route: [{destination: {host: reviews.default}}]"
    return istio("VirtualService", f'hosts: ["{host}"], http: [{{name: {namespace}, {to}}}]', namespace=namespace)


def test_sidecar_lets_in_virtual_services_by_their_own_namespace() -> None:
    """As Istio does: what an egress host names is the namespace of services and of rules alike."""
    foreign = rule("web.shop", "default")

    assert seen("'*/*'", foreign)["web"] == ["default"]
    assert seen("'./*'", foreign)["web"] == []
    assert seen("'./*', default/reviews", foreign)["web"] == []
    assert seen("'./*', 'default/*'", foreign)["web"] == ["default"]


def test_virtual_services_compete_only_where_a_sidecar_lets_both_in() -> None:
    """Istio's rule: what a Sidecar leaves out takes no requests from what it lets in."""
    several = rule("web.shop", "default") + rule("web.shop", "shop")

    assert seen("'*/*'", several)["web"] == ["default"]
    assert seen("'./*'", several)["web"] == ["shop"]


def test_wildcard_speaks_for_a_host_where_a_sidecar_leaves_out_who_names_it() -> None:
    wide = rule("*.shop.svc.cluster.local", "shop")

    assert seen("'*/*'", rule("web.shop", "default") + wide)["web"] == ["default"]
    assert seen("'./*'", rule("web.shop", "default") + wide)["web"] == ["shop"]


def test_sidecar_lets_in_a_rule_for_hosts_without_a_service_when_they_share_a_name() -> None:
    strange = rule("*.example.org", "default")

    assert "*.example.org" in seen("'./*', default/a.example.org", strange)
    assert "*.example.org" not in seen("'./*', default/a.example.com", strange)
    assert "*.example.org" not in seen("'./*'", strange)


def test_host_whose_rules_are_not_let_in_keeps_the_retries_of_the_mesh() -> None:
    mesh = istio("MeshConfig", "defaultHttpRetryPolicy: {attempts: 7}").replace("/v1\n", "/v1alpha1\n")

    assert seen("'./*'", rule("web.shop", "default"), mesh)["web"] == ["default"]
