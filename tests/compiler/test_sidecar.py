"""What one Sidecar means."""

from __future__ import annotations

import pytest

from tests.builders import codes, compiled, document, entry, istio
from xds_server.compiler.finding import Outcome
from xds_server.compiler.sidecar import sidecar
from xds_server.mesh.egress import EgressListener
from xds_server.mesh.service import Port, Protocol
from xds_server.mesh.sidecar import IngressListener, OutboundPolicy, Sidecar
from xds_server.mesh.traffic import ConnectionPool


def made(spec: str) -> Outcome[Sidecar]:
    return sidecar(document(istio("Sidecar", spec, namespace="shop")))


def test_nothing_written_limits_nothing() -> None:
    found = made("outboundTrafficPolicy: {mode: ALLOW_ANY}").value

    assert (found.namespace, found.selector, found.ingress, found.egress) == ("shop", (), None, None)
    assert found.origin is not None


def test_selector_is_sorted() -> None:
    found = made("workloadSelector: {labels: {b: x, a: z}}, egress: [{hosts: ['./*']}]").value

    assert found.selector == (("a", "z"), ("b", "x"))


def test_egress_is_taken_as_written() -> None:
    found = made(
        "egress: [{port: {number: 80}, bind: 127.0.0.2, captureMode: NONE, hosts: ['./*', 'bank/a.b']}, "
        "{hosts: ['./*', '~/*']}]"
    ).value

    assert found.egress == (
        EgressListener(((".", "*"), ("bank", "a.b")), 80, "127.0.0.2", bound=True),
        EgressListener(((".", "*"), ("~", "*"))),
    )


def test_unix_socket_for_callers_says_what_is_spoken_there() -> None:
    outcome = made("egress: [{port: {number: 0, protocol: TCP}, bind: 'unix:///a', hosts: ['./*']}, {hosts: ['./*']}]")

    socket = EgressListener(((".", "*"),), bind="unix:///a", protocol=Protocol.TCP)
    assert outcome.value.egress == (socket, EgressListener(((".", "*"),)))
    assert socket.is_socket
    assert not outcome.problems


def test_limits_towards_the_application_are_taken() -> None:
    found = made(
        "inboundConnectionPool: {tcp: {maxConnections: 1}}, ingress: [{port: {number: 80}, captureMode: NONE, "
        "defaultEndpoint: '127.0.0.1:8080', connectionPool: {tcp: {maxConnections: 2}}}]"
    ).value

    assert found.inbound_pool == ConnectionPool(max_connections=1)
    assert found.ingress is not None
    assert (found.ingress[0].pool, found.ingress[0].bound) == (ConnectionPool(max_connections=2), True)


def test_proxy_for_unknown_destinations_is_taken() -> None:
    found = made(
        "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: proxy, subset: v1, port: {number: 3128}}}"
    ).value

    assert found.egress_proxy == ("proxy", 3128, "v1")


def test_ingress_says_where_the_application_listens() -> None:
    found = made(
        "ingress: [{port: {number: 80, protocol: HTTP, name: web}, bind: 127.0.0.2, defaultEndpoint: '127.0.0.1:8080'}]"
    ).value

    assert found.ingress == (IngressListener(Port(80, "web", Protocol.HTTP), "127.0.0.2", "127.0.0.1:8080"),)


@pytest.mark.parametrize("mode", list(OutboundPolicy))
def test_outbound_policy(mode: OutboundPolicy) -> None:
    assert made(f"outboundTrafficPolicy: {{mode: {mode}}}").value.outbound_policy is mode


def test_outbound_policy_without_mode_refuses_the_unknown_and_is_reported() -> None:
    """Proto's zero value; few who write an empty block mean it."""
    outcome = made("outboundTrafficPolicy: {}")

    assert outcome.value.outbound_policy is OutboundPolicy.REGISTRY_ONLY
    assert codes(outcome.problems) == ["mode-left-out"]


@pytest.mark.parametrize(("host", "port", "told"), [("proxy", 3128, 0), ("proxy", 80, 1), ("poxy", 3128, 1)])
def test_egress_proxy_that_is_not_there_is_told(host: str, port: int, told: int) -> None:
    written = f"outboundTrafficPolicy: {{mode: ALLOW_ANY, egressProxy: {{host: {host}, port: {{number: {port}}}}}}}"
    service = entry("proxy", "ports: [{number: 3128, name: tcp, protocol: TCP}], endpoints: [{address: 10.0.0.1}]")
    _, problems = compiled(service + istio("Sidecar", written))

    assert codes(problems) == ["unknown-egress-proxy"] * told


@pytest.mark.parametrize(
    ("mode", "told"), [("DISABLE", []), ("PERMISSIVE", ["covered-tls"]), ("STRICT", ["covered-tls"])]
)
def test_tls_of_a_port_that_takes_mesh_tls_is_told_not_to_be_obeyed(mode: str, told: list[str]) -> None:
    tls = "tls: {mode: SIMPLE, serverCertificate: /a, privateKey: /b}"
    ingress = f"ingress: [{{port: {{number: 8443, protocol: HTTPS}}, defaultEndpoint: '127.0.0.1:80', {tls}}}]"
    peers = f"selector: {{matchLabels: {{app: web}}}}, portLevelMtls: {{8443: {{mode: {mode}}}}}"

    _, problems = compiled(
        istio("Sidecar", f"workloadSelector: {{labels: {{app: web}}}}, {ingress}"), istio("PeerAuthentication", peers)
    )

    assert codes(problems) == told
