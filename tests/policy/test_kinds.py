"""Which kinds are read, and what is said of every other."""

from __future__ import annotations

import pytest

from xds_server.policy.kinds import Kind, find_kind
from xds_server.policy.model import Finding
from xds_server.problem import Severity


@pytest.mark.parametrize("kind", ["VirtualService", "DestinationRule", "ServiceEntry", "WorkloadEntry", "Sidecar"])
@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_every_version_of_istio_is_read(kind: str, version: str) -> None:
    found = find_kind(f"networking.istio.io/{version}", kind)

    assert isinstance(found, Kind)
    assert found.name == kind


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("networking.istio.io/v1beta1", "ProxyConfig"),
        ("networking.istio.io/v1alpha3", "EnvoyFilter"),
        ("security.istio.io/v1", "RequestAuthentication"),
        ("security.istio.io/v1", "AuthorizationPolicy"),
        ("extensions.istio.io/v1alpha1", "WasmPlugin"),
    ],
)
def test_a_kind_that_is_not_served_is_never_dropped_in_silence(api_version: str, kind: str) -> None:
    found = find_kind(api_version, kind)

    assert isinstance(found, Finding)
    assert (found.severity, found.code) == (Severity.ERROR, "unsupported-kind")
    assert found.message == f"kind {kind} is not supported yet"


@pytest.mark.parametrize(
    ("api_version", "kind", "fix"),
    [
        ("networking.istio.io/v2", "VirtualService", "write networking.istio.io/v1"),
        ("networking.istio.io/v1", "VirtualServce", "write VirtualService"),
        ("networking.istio.io/v1", "PeerAuthentication", "write security.istio.io/v1"),
        ("networking.istio.oi/v1", "VirtualService", "write networking.istio.io/v1"),
        ("v1", "VirtualService", "write networking.istio.io/v1"),
    ],
)
def test_a_misspelt_kind_is_told_the_nearest(api_version: str, kind: str, fix: str) -> None:
    found = find_kind(api_version, kind)

    assert isinstance(found, Finding)
    assert (found.severity, found.code, found.fix) == (Severity.ERROR, "unknown-kind", fix)


@pytest.mark.parametrize(
    ("api_version", "kind", "instead"),
    [
        ("v1", "Service", "ServiceEntry"),
        ("v1", "Secret", "--secrets"),
        ("apps/v1", "Deployment", "WorkloadEntry"),
        ("gateway.networking.k8s.io/v1", "Gateway", "networking.istio.io/v1"),
        ("gateway.networking.k8s.io/v1beta1", "HTTPRoute", "VirtualService"),
        ("install.istio.io/v1alpha1", "IstioOperator", "MeshConfig"),
        ("batch/v1", "Job", ""),
    ],
)
def test_kubernetes_documents_are_ignored_with_a_warning_that_says_what_to_write(
    api_version: str, kind: str, instead: str
) -> None:
    found = find_kind(api_version, kind)

    assert isinstance(found, Finding)
    assert (found.severity, found.code) == (Severity.WARNING, "not-a-policy")
    assert instead in found.fix
    assert bool(found.fix) == bool(instead)
