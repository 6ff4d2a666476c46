"""Services kept up to date as their documents come and go."""

from __future__ import annotations

from tests.builders import document, entry, istio
from xds_server.compiler.services import Services
from xds_server.compiler.table import Diff
from xds_server.memo import Memo
from xds_server.policy.document import Document

SELECTING = document(entry(spec="workloadSelector: {labels: {app: a, v: v1}}"))
NOTHING = Diff()


def added(*documents: Document) -> Diff:
    return Diff(added=frozenset(documents))


def removed(*documents: Document) -> Diff:
    return Diff(removed=frozenset(documents))


def worker(labels: str, *, name: str = "vm", namespace: str = "default") -> Document:
    return document(istio("WorkloadEntry", f"address: 10.0.0.1, labels: {{{labels}}}", name=name, namespace=namespace))


def addresses(services: Services) -> list[list[str]]:
    return [[endpoint.workload for endpoint in service.endpoints] for service in services.in_order]


def test_workload_is_chosen_when_it_carries_every_label() -> None:
    services = Services(Memo())
    services.update(
        added(SELECTING), added(worker("app: a, v: v1, more: x", name="both"), worker("app: a", name="half"))
    )

    assert addresses(services) == [["both"]]


def test_workload_is_chosen_in_its_own_namespace_only() -> None:
    services = Services(Memo())
    services.update(added(SELECTING), added(worker("app: a, v: v1", namespace="shop")))

    assert addresses(services) == [[]]


def test_workload_that_comes_later_joins_and_one_that_goes_leaves() -> None:
    services, vm = Services(Memo()), worker("app: a, v: v1")
    services.update(added(SELECTING), NOTHING)

    assert services.update(NOTHING, added(vm)) == {"reviews"}
    assert addresses(services) == [["vm"]]
    assert services.update(NOTHING, removed(vm)) == {"reviews"}
    assert addresses(services) == [[]]


def test_workload_that_nobody_selects_changes_nothing() -> None:
    services = Services(Memo())
    services.update(added(SELECTING), NOTHING)

    assert services.update(NOTHING, added(worker("app: b"))) == set()


def test_empty_selector_chooses_nothing() -> None:
    services = Services(Memo())
    services.update(added(document(entry(spec="workloadSelector: {}"))), added(worker("app: a")))

    assert addresses(services) == [[]]


def test_services_are_sorted_by_host_and_namespace() -> None:
    services = Services(Memo())
    hosts = [("b", "default"), ("a", "shop"), ("a", "bank")]
    services.update(added(*(document(entry(host, namespace=namespace)) for host, namespace in hosts)), NOTHING)

    assert [(found.host, found.namespace) for found in services.in_order] == [
        ("a", "bank"),
        ("a", "shop"),
        ("b", "default"),
    ]


def test_service_that_is_gone_is_named_no_more() -> None:
    services = Services(Memo())
    services.update(added(SELECTING), NOTHING)

    assert services.update(removed(SELECTING), NOTHING) == {"reviews"}
    assert services.named("reviews") == []
    assert services.in_order == ()


def test_service_is_defined_by_the_oldest_of_its_documents() -> None:
    services, first, second = Services(Memo()), document(entry()), document(entry().replace("e: rev", "e: x-rev"))
    services.update(added(second, first), NOTHING)
    (service,) = services.named("reviews")

    assert services.definition(service) is first
