"""One endpoint, from a WorkloadEntry."""

from __future__ import annotations

import pytest

from tests.builders import document, istio
from xds_server.compiler.workload_entry import entry_endpoint, is_address, labels_of
from xds_server.mesh.service import Endpoint, Locality


def made(spec: str, metadata: str = "") -> Endpoint:
    return entry_endpoint(document(istio("WorkloadEntry", f"address: 10.0.0.1, {spec}", name="vm", metadata=metadata)))


def test_endpoint_is_named_after_its_document() -> None:
    found = made("ports: {web: 8080}, serviceAccount: worker")

    assert (found.address, found.namespace, found.workload) == ("10.0.0.1", "default", "vm")
    assert found.ports == (("web", 8080),)
    assert found.service_account == "worker"


def test_labels_of_metadata_win_over_those_of_the_spec() -> None:
    text = istio("WorkloadEntry", "address: 10.0.0.1, labels: {v: spec, a: b}", metadata="labels: {v: meta}")

    assert labels_of(document(text)) == {"a": "b", "v": "meta"}


@pytest.mark.parametrize(("spec", "weight"), [("", 1), ("weight: 0", 1), ("weight: 5", 5)])
def test_weight_is_one_unless_given(spec: str, weight: int) -> None:
    assert made(spec).weight == weight


@pytest.mark.parametrize(
    ("spec", "metadata"),
    [
        ("locality: eu/eu-1/a", ""),
        ("labels: {topology.istio.io/locality: eu.eu-1.a}", ""),
        ("labels: {istio-locality: eu.eu-1.a}", ""),
        ("locality: eu/eu-1/a, labels: {istio-locality: us}", ""),
        ("", "labels: {topology.istio.io/locality: eu.eu-1.a, istio-locality: us}"),
    ],
)
def test_locality_is_the_specs_then_that_of_the_labels(spec: str, metadata: str) -> None:
    assert made(spec, metadata).locality == Locality("eu", "eu-1", "a")


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ("", "disabled"),
        ("serviceAccount: worker", "istio"),
        ("labels: {security.istio.io/tlsMode: istio}", "istio"),
        ("serviceAccount: worker, labels: {security.istio.io/tlsMode: disabled}", "disabled"),
    ],
)
def test_mutual_tls_is_for_endpoints_with_an_identity(spec: str, mode: str) -> None:
    assert made(spec).tls_mode == mode


@pytest.mark.parametrize(
    ("spec", "metadata", "draining"),
    [
        ("", 'annotations: {xds-server.io/draining: "true"}', True),
        ("", 'labels: {xds-server.io/draining: "true"}', True),
        ('labels: {xds-server.io/draining: "true"}', "", True),
        ("", 'annotations: {xds-server.io/draining: "false"}', False),
    ],
)
def test_draining_is_said_by_label_or_annotation(spec: str, metadata: str, draining: bool) -> None:
    assert made(spec, metadata).draining is draining


@pytest.mark.parametrize(
    ("text", "is_one"), [("10.0.0.1", True), ("::1", True), ("unix:///run/a.sock", True), ("worker-1", False)]
)
def test_address_needs_no_name_resolution(text: str, is_one: bool) -> None:
    assert is_address(text) is is_one


@pytest.mark.parametrize(
    ("annotation", "status", "healthy"),
    [
        ("", "", True),
        ("", '{conditions: [{type: Healthy, status: "False"}]}', False),
        ("", '{conditions: [{type: Healthy, status: "True"}]}', True),
        ('proxy.istio.io/health-checks-enabled: "true"', "", False),
        ('proxy.istio.io/health-checks-enabled: "true"', '{conditions: [{type: Healthy, status: "True"}]}', True),
    ],
)
def test_health_is_what_status_reports_where_somebody_reports_it(annotation: str, status: str, healthy: bool) -> None:
    text = istio("WorkloadEntry", "address: 10.0.0.1", metadata=f"annotations: {{{annotation}}}")

    assert entry_endpoint(document(text + (f"status: {status}\n" if status else ""))).healthy is healthy
