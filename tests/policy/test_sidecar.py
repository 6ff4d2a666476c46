"""Istio's rules for a Sidecar, each in the words its author reads."""

from __future__ import annotations

import pytest

from tests.policy.reading import errors, of_kind
from xds_server.policy.sidecar import OutboundTrafficPolicyMode, SidecarSpec


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{}", "spec"),
        ("{egress: [{hosts: []}]}", "egress[0].hosts"),
        ("{egress: [{hosts: [a]}]}", "egress[0].hosts[0]"),
        ("{egress: [{hosts: ['a/b c']}]}", "egress[0].hosts[0]"),
        ("{egress: [{hosts: ['A_/b']}]}", "egress[0].hosts[0]"),
        ("{egress: [{hosts: ['a/*b.c']}]}", "egress[0].hosts[0]"),
        (
            "{egress: [{port: {number: 0}, bind: 'unix:///a', captureMode: IPTABLES, hosts: [a/b]}]}",
            "egress[0].captureMode",
        ),
        (
            "{egress: [{port: {number: 0}, bind: 'unix:///a', hosts: [a/b]}, "
            "{port: {number: 0}, bind: 'unix:///a', hosts: [a/c]}]}",
            "egress[1].bind",
        ),
        ("{egress: [{hosts: ['*/*']}, {port: {number: 1}, hosts: ['*/*']}]}", "egress[0]"),
        (
            "{egress: [{port: {number: 1}, hosts: ['*/*']}, {port: {number: 1}, hosts: ['*/*']}]}",
            "egress[1].port.number",
        ),
        ("{egress: [{port: {number: 0}, hosts: ['*/*']}]}", "egress[0].port.number"),
        ("{ingress: [{port: {number: 80, targetPort: 81}}]}", "ingress[0].port.targetPort"),
        ("{ingress: [{port: {number: 80}}, {port: {number: 80}}]}", "ingress[1].port.number"),
        ("{ingress: [{port: {}}]}", "ingress[0].port.number"),
        ("{ingress: [{port: {number: 80}, bind: a}]}", "ingress[0].bind"),
        ("{ingress: [{port: {number: 80}, defaultEndpoint: '10.0.0.1:80'}]}", "ingress[0].defaultEndpoint"),
        ("{ingress: [{port: {number: 80}, defaultEndpoint: '127.0.0.1'}]}", "ingress[0].defaultEndpoint"),
        ("{ingress: [{port: {number: 80}, tls: {mode: SIMPLE}}]}", "ingress[0].tls"),
        ("{ingress: [{port: {number: 80, protocol: TLS}, tls: {mode: ISTIO_MUTUAL}}]}", "ingress[0].tls.mode"),
        ("{ingress: [{port: {number: 80, protocol: TLS}, tls: {mode: SIMPLE}}]}", "ingress[0].tls"),
        (
            "{ingress: [{port: {number: 80, protocol: TLS}, "
            "tls: {mode: MUTUAL, serverCertificate: /a, privateKey: /b}}]}",
            "ingress[0].tls",
        ),
        ("{outboundTrafficPolicy: {egressProxy: {host: a, port: {number: 1}}}}", "outboundTrafficPolicy.egressProxy"),
        ("{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a}}}", "outboundTrafficPolicy.egressProxy"),
    ],
)
def test_istios_rules(spec: str, field: str) -> None:
    assert [where for where, _ in errors("Sidecar", spec)] == [field]


@pytest.mark.parametrize("host", ["*/*", "./*", "~/*", "a/b.c", "*/*.c", "~a/b.c"])
def test_hosts_are_namespace_and_name(host: str) -> None:
    assert errors("Sidecar", f"egress: [{{hosts: ['{host}']}}]") == []


@pytest.mark.parametrize("endpoint", ["127.0.0.1:80", "0.0.0.0:80", "[::1]:80", "[::]:80", "unix:///a"])
def test_the_application_is_reached_on_its_own_machine(endpoint: str) -> None:
    assert errors("Sidecar", f"ingress: [{{port: {{number: 80}}, defaultEndpoint: '{endpoint}'}}]") == []


def test_an_outbound_policy_without_mode_is_registry_only() -> None:
    document, _ = of_kind("Sidecar", "outboundTrafficPolicy: {}")

    assert document is not None
    assert isinstance(document.spec, SidecarSpec)
    assert document.spec.outbound_traffic_policy is not None
    assert document.spec.outbound_traffic_policy.mode is OutboundTrafficPolicyMode.REGISTRY_ONLY
