"""Istio's rules for a PeerAuthentication, each in the words its author reads."""

from __future__ import annotations

import pytest

from tests.policy.reading import errors, of_kind, parse
from xds_server.policy.peer_authentication import MutualTLSMode, PeerAuthenticationSpec

PORTS = "selector: {matchLabels: {app: a}}, portLevelMtls"


@pytest.mark.parametrize(
    "spec",
    [
        "{}",
        "{mtls: {}}",
        "{mtls: {mode: STRICT}}",
        "{mtls: {mode: 2}}",
        "{selector: {matchLabels: {app: a}}, mtls: {mode: UNSET}}",
        f"{{{PORTS}: {{8080: {{mode: DISABLE}}}}}}",
        f'{{{PORTS}: {{"8080": {{}}}}}}',
    ],
)
def test_every_form_is_taken(spec: str) -> None:
    assert errors("PeerAuthentication", spec) == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{mtls: {mode: strict}}", "mtls.mode"),
        ("{mtls: STRICT}", "mtls"),
        ("{mode: STRICT}", "mode"),
        ("{selector: {app: a}}", "selector.app"),
        ("{selector: {matchLabels: {app: '*'}}}", "selector.matchLabels.app"),
        ("{targetRefs: [{kind: Gateway, name: a}]}", "targetRefs"),
        ("{portLevelMtls: {8080: {mode: STRICT}}}", "portLevelMtls"),
        ("{selector: {}, portLevelMtls: {8080: {mode: STRICT}}}", "portLevelMtls"),
        (f"{{{PORTS}: {{}}}}", "portLevelMtls"),
        (f"{{{PORTS}: {{0: {{}}}}}}", "portLevelMtls.0"),
        (f"{{{PORTS}: {{http: {{}}}}}}", "portLevelMtls.http"),
        (f"{{{PORTS}: {{65536: {{}}}}}}", "portLevelMtls.65536"),
        (f"{{{PORTS}: {{8080: STRICT}}}}", "portLevelMtls.8080"),
    ],
)
def test_istios_rules(spec: str, field: str) -> None:
    assert [where for where, _ in errors("PeerAuthentication", spec)] == [field]


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_both_versions_are_one_schema(version: str) -> None:
    document, _ = parse(
        f"""
        apiVersion: security.istio.io/{version}
        kind: PeerAuthentication
        metadata: {{name: default}}
        spec:
          mtls: {{mode: STRICT}}
        """
    )

    assert document is not None
    assert isinstance(document.spec, PeerAuthenticationSpec)
    assert document.spec.mtls is not None
    assert document.spec.mtls.mode is MutualTLSMode.STRICT
    assert document.namespace == "default"


def test_a_mode_left_out_is_unset() -> None:
    document, _ = of_kind("PeerAuthentication", "mtls: {}")

    assert document is not None
    assert isinstance(document.spec, PeerAuthenticationSpec)
    assert document.spec.mtls is not None
    assert document.spec.mtls.mode is MutualTLSMode.UNSET
