"""Workloads that register themselves, and the WorkloadEntries that they become."""

from __future__ import annotations

import pytest

from tests.builders import codes, compiled, document, entry, istio, policy_set
from xds_server.compiler.workload_entry import entry_endpoint, labels_of
from xds_server.compiler.workload_group import registered, with_registered
from xds_server.memo import Memo
from xds_server.mesh.registration import Registration
from xds_server.mesh.service import Endpoint, Locality
from xds_server.pipeline import Pipeline
from xds_server.policy.document import Document

SPEC = (
    "metadata: {labels: {app: web, from: metadata}, annotations: {a: b}}, "
    "template: {ports: {http: 8080}, labels: {from: template, t: t}, locality: eu/eu-1, weight: 2, serviceAccount: web}"
)
PLAIN = Registration("default", "workers", "10.0.0.1")


def group(spec: str = SPEC) -> Document:
    return document(istio("WorkloadGroup", spec, name="workers"))


def entry_of(found: Registration, spec: str = SPEC) -> Document:
    return registered(group(spec), found)


def test_workload_becomes_an_entry_of_its_group() -> None:
    made = entry_of(PLAIN)

    assert (made.kind, made.namespace, made.name) == ("WorkloadEntry", "default", "workers-10.0.0.1")
    assert made.annotations == {"a": "b", "istio.io/autoRegistrationGroup": "workers"}
    assert entry_endpoint(made) == Endpoint(
        address="10.0.0.1",
        ports=(("http", 8080),),
        labels=(("app", "web"), ("from", "metadata"), ("t", "t")),
        locality=Locality("eu", "eu-1"),
        weight=2,
        namespace="default",
        workload="workers-10.0.0.1",
        service_account="web",
        tls_mode="istio",
    )


def test_what_the_node_says_wins() -> None:
    said = Registration(
        "default", "workers", "10.0.0.1", (("http", 9000),), (("from", "node"),), Locality("us"), 5, "net"
    )
    made = entry_of(said)
    found = entry_endpoint(made)

    assert labels_of(made)["from"] == "node"
    assert (found.ports, found.locality, found.weight, found.network) == ((("http", 9000),), Locality("us"), 5, "net")


def test_workload_that_has_left_drains() -> None:
    assert entry_endpoint(entry_of(Registration("default", "workers", "10.0.0.1", draining=True))).draining


@pytest.mark.parametrize(
    ("spec", "account", "joins"),
    [
        (SPEC, "web", True),
        (SPEC, "db", False),
        ("template: {}", "default", True),
        ("template: {}", "web", False),
    ],
)
def test_workload_that_proved_to_be_somebody_else_does_not_join(spec: str, account: str, joins: bool) -> None:
    claims = [Registration("default", "workers", "10.0.0.1", service_account=account)]
    found = with_registered(policy_set(group(spec)), claims, Memo())

    assert bool(found.value) is joins
    assert codes(found.problems) == ([] if joins else ["foreign-identity"])


def test_only_workloads_of_a_known_group_in_their_own_namespace_join() -> None:
    policies = policy_set(group())
    found = [PLAIN, Registration("shop", "workers", "10.0.0.2"), Registration("default", "others", "10.0.0.3")]

    assert [made.name for made in with_registered(policies, found, Memo()).value] == ["workers-10.0.0.1"]


def test_entry_that_somebody_wrote_comes_first() -> None:
    policies = policy_set(group(), istio("WorkloadEntry", "address: 10.9.9.9", name="workers-10.0.0.1"))

    assert with_registered(policies, [PLAIN], Memo()).value == ()


def test_registration_that_did_not_change_is_the_same_document() -> None:
    """So that what was made from it is kept."""
    policies, memo = policy_set(group()), Memo()
    (before,) = with_registered(policies, [PLAIN], memo).value
    after = with_registered(policies, [PLAIN, Registration("default", "workers", "10.0.0.2")], memo).value

    assert after[0] is before


def test_registered_workloads_serve_what_selects_their_labels() -> None:
    pipeline, policies = Pipeline(), policy_set(group(), entry("web", "workloadSelector: {labels: {app: web}}"))
    before = pipeline.compile(policies)
    after = pipeline.compile(policies, [PLAIN])

    assert [service.endpoints for service in before.mesh.services] == [()]
    assert [endpoint.address for endpoint in after.mesh.services[0].endpoints] == ["10.0.0.1"]
    assert [made.name for made in after.registered] == ["workers-10.0.0.1"]


def test_service_that_waits_for_registrations_is_no_mistake() -> None:
    _, problems = compiled(istio("WorkloadGroup", SPEC) + entry("web", "workloadSelector: {labels: {app: web}}"))
    _, without = compiled(entry("web", "workloadSelector: {labels: {app: web}}"))

    assert (codes(problems), codes(without)) == ([], ["selects-nothing"])


def test_address_of_a_template_is_told_to_be_useless() -> None:
    _, problems = compiled(istio("WorkloadGroup", "template: {address: 10.0.0.1}"))

    assert codes(problems) == ["address-in-template"]


def test_https_probe_is_told_to_be_weaker_than_it_looks() -> None:
    _, problems = compiled(istio("WorkloadGroup", "template: {}, probe: {httpGet: {port: 80, scheme: HTTPS}}"))

    assert codes(problems) == ["https-probe"]
