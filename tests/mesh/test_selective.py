"""DestinationRules for some workloads only."""

from __future__ import annotations

from tests.builders import codes, compiled, entry, istio, workload
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.traffic import LoadBalancing
from xds_server.mesh.view import View, view_for

RULES = istio("DestinationRule", "host: reviews, trafficPolicy: {loadBalancer: {simple: RANDOM}}", name="all") + istio(
    "DestinationRule",
    "host: reviews, workloadSelector: {matchLabels: {app: web}}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}",
    name="web",
)
ROUTES = istio("VirtualService", "hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]")


def policy(view: View) -> LoadBalancing:
    return view.backends[0].traffic.policies.default.load_balancer.policy


def mesh() -> Mesh:
    found, _ = compiled(entry("reviews") + entry("ratings") + RULES + ROUTES)
    return found


def test_rule_holds_for_the_workloads_that_it_selects_instead_of_all_others() -> None:
    found = mesh()
    selected, other = (view_for(found, workload(app=app)) for app in ("web", "batch"))

    assert [backend.service.host for backend in selected.backends] == ["ratings", "reviews"]
    assert policy(View(selected.backends[1:])) is LoadBalancing.ROUND_ROBIN
    assert policy(View(other.backends[1:])) is LoadBalancing.RANDOM


def test_routes_send_by_the_same_rule() -> None:
    view = view_for(mesh(), workload(app="web"))
    (reviews,) = (host for host in view.virtual_hosts if host.host == "reviews")

    assert reviews.backend is view.backends[1]
    assert {to.backend for to in reviews.destinations} == {view.backends[1]}


def test_rule_is_its_namespaces_own() -> None:
    view = view_for(mesh(), workload(namespace="shop", app="web"))

    assert policy(View(view.backends[1:])) is LoadBalancing.RANDOM


def test_what_the_rule_does_not_speak_of_is_shared_with_others() -> None:
    found = mesh()
    selected, other = (view_for(found, workload(app=app)) for app in ("web", "batch"))

    assert selected.backends[0] is other.backends[0]
    assert selected.virtual_hosts[0] is other.virtual_hosts[0]


def test_selected_workloads_share_one_view() -> None:
    found = mesh()

    assert view_for(found, workload("a", app="web")) == view_for(found, workload("b", app="web"))


def test_unknown_host_is_told() -> None:
    _, problems = compiled(istio("DestinationRule", "host: nobody, workloadSelector: {matchLabels: {app: web}}"))

    assert codes(problems) == ["unknown-host"]


def test_routes_that_only_a_sidecar_brings_into_force_send_by_the_same_rule() -> None:
    routes = [
        istio("VirtualService", f"hosts: [reviews.default], http: [{{name: {namespace}, {to}}}]", namespace=namespace)
        for namespace, to in (
            ("bank", "directResponse: {status: 200}"),
            ("shop", "route: [{destination: {host: reviews.default}}]"),
        )
    ]
    sidecar = istio("Sidecar", "egress: [{hosts: ['shop/*', './reviews']}]")
    (reviews,) = view_for(compiled(entry("reviews"), RULES, *routes, sidecar)[0], workload(app="web")).virtual_hosts

    assert [route.name for route in reviews.routes] == ["shop"]
    assert {to.backend for to in reviews.destinations} == {reviews.backend}


def test_host_that_a_wildcard_not_in_force_would_send_there_is_shared_with_others() -> None:
    """Else one such wildcard would have every host told anew to those whom the rule selects."""
    wide, own = (
        istio("VirtualService", f"hosts: ['{host}'], http: [{{route: [{{destination: {{host: {to}}}}}]}}]", name=to)
        for host, to in (("*.shop", "reviews"), ("other.shop", "other.shop"))
    )
    found, _ = compiled(entry("reviews") + entry("other.shop") + RULES + wide + own)
    selected, other = (view_for(found, workload(app=app)).virtual_hosts for app in ("web", "batch"))

    assert [host.host for host in selected] == ["other.shop", "reviews"]
    assert [mine is theirs for mine, theirs in zip(selected, other, strict=True)] == [True, False]
