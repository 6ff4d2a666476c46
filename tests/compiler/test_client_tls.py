"""What is told of the TLS that a DestinationRule asks for."""

from __future__ import annotations

import pytest

from tests.builders import codes, compiled, entry, istio
from xds_server.problem import Severity

PLAIN = entry("a", "location: MESH_INTERNAL, endpoints: [{address: 10.0.0.1}]")
NAMED = entry("a", "location: MESH_INTERNAL, endpoints: [{address: 10.0.0.1}], subjectAltNames: [a.example]")
PROVEN = entry("a", "location: MESH_INTERNAL, endpoints: [{address: 10.0.0.1, serviceAccount: a}]")


def problems_of(tls: str, service: str = PLAIN) -> list[str]:
    _, problems = compiled(service, istio("DestinationRule", f"host: a, trafficPolicy: {{tls: {{{tls}}}}}"))
    return codes(problems)


@pytest.mark.parametrize(
    ("tls", "told"),
    [
        ("mode: DISABLE", []),
        ("mode: SIMPLE", []),
        ("mode: SIMPLE, sni: a", ["unchecked-name"]),
        ("mode: SIMPLE, sni: a, subjectAltNames: [a]", []),
        ("mode: SIMPLE, sni: a, insecureSkipVerify: true", []),
        ("mode: ISTIO_MUTUAL", ["unknown-account"]),
        ("mode: ISTIO_MUTUAL, subjectAltNames: [spiffe://a/b]", []),
    ],
)
def test_name_that_nobody_checks_is_told(tls: str, told: list[str]) -> None:
    assert problems_of(tls) == told


def test_names_of_the_service_are_checked_too() -> None:
    assert problems_of("mode: SIMPLE, sni: a", NAMED) == []
    assert problems_of("mode: ISTIO_MUTUAL", PROVEN) == []


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ("trafficPolicy: {tls: TLS}", "spec.trafficPolicy.tls.credentialName"),
        (
            "trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: TLS}]}",
            "spec.trafficPolicy.portLevelSettings[0].tls.credentialName",
        ),
        ("subsets: [{name: v, trafficPolicy: {tls: TLS}}]", "spec.subsets[0].trafficPolicy.tls.credentialName"),
    ],
)
def test_credential_is_told_to_be_for_routers_wherever_it_is_asked_for(policy: str, field: str) -> None:
    spec = policy.replace("TLS", "{mode: SIMPLE, credentialName: c}")
    _, problems = compiled(PLAIN, istio("DestinationRule", f"host: a, {spec}"))

    (problem,) = problems
    assert (problem.severity, problem.code, problem.field) == (Severity.WARNING, "no-credential-for-sidecars", field)
