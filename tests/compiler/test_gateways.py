"""What VirtualServices that name gateways are told."""

from __future__ import annotations

import pytest

from tests.builders import codes, compiled, documents, entry, istio, workload
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.view import View, view_for
from xds_server.mesh.workload import NodeType, Workload
from xds_server.policy.document import Document
from xds_server.problem import Problem

EDGE = istio(
    "Gateway",
    "selector: {istio: ingress}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.com']}]",
    name="edge",
)
ROUTE = "http: [{route: [{destination: {host: reviews}}]}]"
BOUND = istio("VirtualService", f"hosts: [a.com], gateways: [edge], {ROUTE}")
ROUTER = Workload("in", "default", (("istio", "ingress"),), node_type=NodeType.ROUTER)


def view(mesh: Mesh, router: Workload = ROUTER) -> View:
    return view_for(mesh, router)


def test_router_sees_its_gateways_their_rules_and_what_those_send_to() -> None:
    mesh, problems = compiled(EDGE + BOUND + entry() + entry("ratings"))

    found = view(mesh)

    assert not problems
    assert found.router is not None
    assert [gateway.name for gateway in found.router.gateways] == ["edge"]
    assert [name for name, _ in found.router.routes] == ["default/edge"]
    assert [backend.service.host for backend in found.backends] == ["reviews"]


def test_router_with_other_labels_opens_nothing() -> None:
    mesh, _ = compiled(EDGE + BOUND + entry())

    found = view(mesh, Workload("in", "default", node_type=NodeType.ROUTER))

    assert found.router is not None
    assert not found.router.gateways


def test_sidecars_have_no_router() -> None:
    assert view_for(compiled(EDGE + BOUND + entry())[0], workload(istio="ingress")).router is None


def test_router_listens_where_its_own_service_says() -> None:
    port = "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]"
    own = entry("in", f"{port}, workloadSelector: {{labels: {{istio: ingress}}}}")

    found = view(compiled(EDGE + own)[0])

    assert found.router is not None
    assert found.router.ports == ((80, (8080,)),)


def other_port(number: int, host: str = "a.com") -> str:
    """A server for TCP, which can stand beside nothing."""
    server = f"{{port: {{number: {number}, name: tcp, protocol: TCP}}, hosts: [{host}]}}"
    return istio("Gateway", f"selector: {{istio: ingress}}, servers: [{server}]", name="other")


def clashes(*parts: str | list[Document], memo: Memo | None = None) -> list[Problem]:
    return [problem for problem in compiled(*parts, memo=memo)[1] if problem.code == "port-conflict"]


def own(target: int, selector: str = "istio: ingress", host: str = "in") -> str:
    """A service of the router's own, by which it listens for port 80 at another."""
    port = f"ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {target}}}]"
    return entry(host, f"{port}, workloadSelector: {{labels: {{{selector}}}}}")


@pytest.mark.parametrize("selector", ["istio: ingress", "app: edge, istio: ingress"])
def test_servers_whose_ports_the_routers_own_service_brings_together_clash(selector: str) -> None:
    (problem,) = clashes(EDGE + other_port(8080) + own(8080, selector))

    assert (problem.name, problem.field) == ("other", "spec.servers[0]")
    assert "in of test.yaml" in problem.message
    assert "targetPort" in problem.fix


def test_servers_clash_where_an_endpoint_with_the_routers_labels_listens() -> None:
    inline = entry(
        "in",
        "ports: [{number: 80, name: http, protocol: HTTP}],"
        " endpoints: [{address: 10.0.0.9, labels: {istio: ingress}, ports: {http: 8080}}]",
    )

    assert len(clashes(EDGE + other_port(8080) + inline)) == 1


@pytest.mark.parametrize("selector", ["app: shop", "istio: egress"])
def test_service_of_others_moves_no_port_of_a_gateway(selector: str) -> None:
    assert not clashes(EDGE + other_port(8080) + own(8080, selector))


def test_clash_comes_and_goes_with_the_service_that_makes_it() -> None:
    memo = Memo()
    kept = documents(EDGE + other_port(8080))

    assert not clashes(kept, own(8081), memo=memo)
    assert len(clashes(kept, own(8080), memo=memo)) == 1
    assert not clashes(kept, own(8081), memo=memo)


def test_unknown_gateway_is_reported() -> None:
    assert codes(compiled(BOUND + entry())[1]) == ["unknown-gateway"]


def test_host_that_no_server_lets_in_is_reported() -> None:
    other = istio("VirtualService", f"hosts: [a.org], gateways: [edge], {ROUTE}")

    assert codes(compiled(EDGE + other + entry())[1]) == ["host-not-in-gateway"]


ANOTHER = istio(
    "Gateway",
    "selector: {istio: ingress}, servers: [{port: {number: 90, name: tcp, protocol: TCP}, hosts: ['*']}]",
    name="another",
)


@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize(
    ("match", "gateways", "found"),
    [
        ("port: 8080", "edge", ["no-such-port"]),
        ("port: 8080", "edge, another", ["no-such-port"]),
        ("port: 8080, gateways: [edge]", "edge, mesh", ["no-such-port"]),
        ("port: 80, gateways: [another]", "edge", ["no-such-port"]),
        ("port: 80", "edge", []),
        ("port: 90", "edge, another", []),
        ("port: 9080", "edge, mesh", []),
        ("port: 8080, gateways: [mesh]", "edge, mesh", []),
    ],
)
def test_match_for_a_port_that_its_gateways_do_not_open_is_reported(
    match: str, gateways: str, found: list[str], kind: str
) -> None:
    to = "route: [{destination: {host: reviews, port: {number: 9080}}}]"
    rule = f"{kind}: [{{match: [{{{match}}}], {to}}}]"
    bound = istio("VirtualService", f"hosts: [a.com], gateways: [{gateways}], {rule}")

    problems = compiled(EDGE + ANOTHER + bound + entry())[1]

    assert [each.code for each in problems if each.code == "no-such-port"] == found
    assert all(each.field == f"spec.{kind}[0].match[0].port" for each in problems if each.code == "no-such-port")


def test_port_of_a_gateway_that_is_not_there_is_not_spoken_of() -> None:
    """Whether it has that port nobody knows."""
    rule = "http: [{match: [{port: 8080}], route: [{destination: {host: reviews}}]}]"
    bound = istio("VirtualService", f"hosts: [a.com], gateways: [edge, lost], {rule}")

    assert codes(compiled(EDGE + bound + entry())[1]) == ["unknown-gateway"]


def test_gateway_that_comes_later_is_found() -> None:
    memo = Memo()
    compiled(BOUND + entry(), memo=memo)

    assert not compiled(EDGE + BOUND + entry(), memo=memo)[1]


def test_view_of_a_router_changes_with_its_routes_alone() -> None:
    memo = Memo()
    kept = documents(EDGE + BOUND + entry())
    before = view(compiled(kept, memo=memo)[0])

    assert view(compiled(kept, entry("ratings"), memo=memo)[0]) == before
