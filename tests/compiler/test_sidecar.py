"""What one Sidecar means."""

from __future__ import annotations

import pytest

from tests.builders import codes, document, istio
from xds_server.compiler.finding import Outcome
from xds_server.compiler.sidecar import sidecar
from xds_server.mesh.service import Port, Protocol
from xds_server.mesh.sidecar import IngressListener, OutboundPolicy, Sidecar


def made(spec: str) -> Outcome[Sidecar]:
    return sidecar(document(istio("Sidecar", spec, namespace="shop")))


def test_nothing_written_limits_nothing() -> None:
    found = made("outboundTrafficPolicy: {mode: ALLOW_ANY}").value

    assert (found.namespace, found.selector, found.ingress, found.egress_hosts) == ("shop", (), None, None)
    assert found.origin is not None


def test_selector_is_sorted() -> None:
    found = made("workloadSelector: {labels: {b: x, a: z}}, egress: [{hosts: ['./*']}]").value

    assert found.selector == (("a", "z"), ("b", "x"))


def test_egress_hosts_of_all_listeners_are_joined_as_written() -> None:
    found = made("egress: [{port: {number: 80}, hosts: ['./*', 'bank/a.b']}, {hosts: ['./*', '~/*']}]").value

    assert found.egress_hosts == ((".", "*"), ("bank", "a.b"), ("~", "*"))


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
