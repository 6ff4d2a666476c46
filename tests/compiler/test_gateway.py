"""What Gateways mean."""

from __future__ import annotations

import pytest

from tests.builders import compiled, document, istio
from xds_server.compiler.gateway import gateway
from xds_server.mesh.gateway import Server, ServerTlsMode
from xds_server.policy.document import Document
from xds_server.problem import Problem

HTTP = "{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}"


def written(server: str = HTTP, *, selector: str = "istio: ingress", name: str = "edge") -> Document:
    return document(istio("Gateway", f"selector: {{{selector}}}, servers: [{server}]", name=name))


def made(server: str) -> Server:
    return gateway(written(server)).value.servers[0]


def problems(*documents: Document | str) -> list[Problem]:
    return list(compiled(*documents)[1])


@pytest.mark.parametrize(
    ("host", "meant"),
    [("a.com", ("*", "a.com")), ("./A.com", ("default", "a.com")), ("shop/*", ("shop", "*")), ("*/b", ("*", "b"))],
)
def test_hosts_say_whose_virtual_services_may_speak_for_them(host: str, meant: tuple[str, str]) -> None:
    assert made(f'{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ["{host}"]}}').hosts == (meant,)


def test_redirect_is_no_tls() -> None:
    found = made("{port: {number: 80, name: http, protocol: HTTP}, hosts: [a], tls: {httpsRedirect: true}}")

    assert found.https_redirect
    assert found.tls is None


def test_certificates_are_named() -> None:
    tls = "tls: {mode: MUTUAL, credentialName: shop, subjectAltNames: [a], minProtocolVersion: TLSV1_3}"

    found = made(f"{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [a], {tls}}}").tls

    assert found is not None
    assert (found.mode, found.credentials, found.min_version) == (ServerTlsMode.MUTUAL, ("shop",), "TLSV1_3")


def test_gateway_of_every_router_is_reported() -> None:
    assert [problem.code for problem in gateway(written(selector="")).problems] == ["selects-all"]


def test_servers_of_two_gateways_on_one_router_clash() -> None:
    tcp = "{port: {number: 80, name: tcp, protocol: TCP}, hosts: [a.com]}"
    (problem,) = problems(written(), written(tcp, name="later"))

    assert (problem.code, problem.name, problem.field) == ("port-conflict", "later", "spec.servers[0]")
    assert not problems(written(), written(tcp, name="later", selector="istio: egress"))


def test_missing_certificate_is_an_error_with_the_nearest_name() -> None:
    tls = "tls: {mode: SIMPLE, credentialName: shpo}"
    server = written(f"{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [a], {tls}}}")

    (problem,) = problems(server)

    assert problem.code == "unknown-credential"
    assert "--secrets" in problem.fix
