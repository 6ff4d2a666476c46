"""What endpoints can prove, and what is told where it does not fit what is asked."""

from __future__ import annotations

import pytest

from tests.builders import codes, compiled, document, entry, istio
from xds_server.memo import Memo
from xds_server.mesh.service import Endpoint, Service

INTERNAL = "location: MESH_INTERNAL, endpoints: "
PLAIN = INTERNAL + "[{address: 10.0.0.1, labels: {app: a}}]"
PROVEN = INTERNAL + "[{address: 10.0.0.1, labels: {app: a}, serviceAccount: a}]"


def authentication(spec: str) -> str:
    return istio("PeerAuthentication", spec)


def only(service: Service) -> Endpoint:
    (endpoint,) = service.endpoints
    return endpoint


def takes(*documents: str) -> bool:
    """Whether callers speak mesh TLS to the one endpoint of the one service."""
    mesh, _ = compiled(*documents)
    (service,) = mesh.services
    return only(service).takes_mesh_tls(service.ports[0])


@pytest.mark.parametrize(
    ("endpoint", "takes_it"),
    [
        ("{address: 10.0.0.1}", False),
        ("{address: 10.0.0.1, serviceAccount: a}", True),
        ("{address: 10.0.0.1, labels: {security.istio.io/tlsMode: istio}}", True),
        ("{address: 10.0.0.1, serviceAccount: a, labels: {security.istio.io/tlsMode: disabled}}", False),
    ],
)
def test_endpoint_takes_mesh_tls_with_an_account_or_when_its_label_says_so(endpoint: str, *, takes_it: bool) -> None:
    assert takes(entry("a", f"{INTERNAL}[{endpoint}]")) is takes_it


@pytest.mark.parametrize("spec", ["mtls: {mode: STRICT}", "mtls: {mode: PERMISSIVE}", "mtls: {}"])
def test_mode_that_takes_mesh_tls_changes_nothing(spec: str) -> None:
    assert takes(entry("a", PROVEN), istio("PeerAuthentication", spec, namespace="default"))


def test_mesh_tls_that_is_switched_off_is_not_spoken() -> None:
    assert not takes(entry("a", PROVEN), authentication("mtls: {mode: DISABLE}"))


@pytest.mark.parametrize(("selector", "port", "takes_it"), [("a", 8080, False), ("a", 80, True), ("b", 8080, True)])
def test_one_port_of_one_workload_is_the_port_where_the_endpoint_listens(
    selector: str, port: int, *, takes_it: bool
) -> None:
    ports = "ports: [{number: 80, name: http, protocol: HTTP}], "
    endpoint = "[{address: 10.0.0.1, ports: {http: 8080}, labels: {app: a}, serviceAccount: a}]"
    policy = f"selector: {{matchLabels: {{app: {selector}}}}}, portLevelMtls: {{{port}: {{mode: DISABLE}}}}"

    assert (
        takes(
            entry("a", ports + INTERNAL + endpoint, namespace="shop"),
            istio("PeerAuthentication", policy, namespace="shop"),
        )
        is takes_it
    )


def test_edit_that_switches_nothing_off_makes_no_service_anew() -> None:
    """STRICT changes what a server asks; that callers speak mesh TLS they know from the endpoint."""
    memo, service = Memo(), document(entry("a", PROVEN))
    before, _ = compiled(service, memo=memo)
    after, _ = compiled(service, authentication("mtls: {mode: STRICT}"), memo=memo)

    assert after.services[0] is before.services[0]


def test_switching_off_reaches_services_that_were_there_before() -> None:
    memo, service = Memo(), document(entry("a", PROVEN))
    compiled(service, memo=memo)
    off, _ = compiled(service, authentication("mtls: {mode: DISABLE}"), memo=memo)
    on, _ = compiled(service, memo=memo)

    assert only(off.services[0]).plaintext_ports == (80,)
    assert only(on.services[0]).plaintext_ports == ()


def test_plain_endpoint_of_a_strict_workload_is_told() -> None:
    """Its callers would be refused, and nothing else would say why."""
    _, problems = compiled(entry("a", PLAIN), authentication("mtls: {mode: STRICT}"))

    (problem,) = problems
    assert (problem.code, problem.field) == ("plaintext-under-strict", "spec.endpoints[0]")


@pytest.mark.parametrize(
    "documents", [(entry("a", PLAIN),), (entry("a", PROVEN), authentication("mtls: {mode: STRICT}"))]
)
def test_endpoint_that_does_what_is_asked_is_not_mentioned(documents: tuple[str, ...]) -> None:
    _, problems = compiled(*documents)

    assert problems == ()


def test_label_alone_is_told_to_prove_no_name() -> None:
    _, problems = compiled(entry("a", INTERNAL + "[{address: 10.0.0.1, labels: {security.istio.io/tlsMode: istio}}]"))

    assert codes(problems) == ["unknown-account"]


def test_identity_outside_the_mesh_is_told_to_be_of_no_use() -> None:
    """MESH_EXTERNAL is what a ServiceEntry is that does not say."""
    _, problems = compiled(entry("a", "endpoints: [{address: 10.0.0.1, serviceAccount: a}]"))

    assert codes(problems) == ["external-identity"]
