"""Who stands for everybody that may connect."""

from __future__ import annotations

from tests.builders import compiled, entry, istio
from xds_server.mesh.representative import representatives
from xds_server.mesh.service import Labels


def shown(*documents: str) -> list[tuple[str, Labels]]:
    """(namespace, labels) of each."""
    mesh, _ = compiled(*documents)
    return [(workload.namespace, workload.labels) for workload in representatives(mesh)]


def routed(match: str, *, host: str = "reviews", namespace: str = "default") -> str:
    """A VirtualService whose only rule matches so."""
    spec = f"hosts: [{host}], http: [{{match: [{match}], route: [{{destination: {{host: {host}}}}}]}}]"
    return istio("VirtualService", spec, namespace=namespace)


def test_an_empty_mesh_needs_nobody() -> None:
    assert shown() == []


def test_one_stands_for_all_namespaces_that_see_the_same() -> None:
    assert shown(entry("reviews", namespace="a"), entry("ratings", namespace="b")) == [("a", ())]


def test_a_namespace_that_sees_something_of_its_own_has_one_too() -> None:
    private = entry("ratings", "exportTo: [.], endpoints: [{address: 10.0.0.2}]", namespace="b")

    assert shown(entry("reviews", namespace="a"), private) == [("a", ()), ("b", ())]


def test_labels_that_a_route_asks_its_caller_for_have_one() -> None:
    mine, yours = routed("{sourceLabels: {app: web}}"), routed("{sourceLabels: {app: api}}", host="ratings")

    found = shown(entry("reviews"), entry("ratings", namespace="other"), mine, yours.replace("name: one", "name: two"))

    assert found == [("default", ()), ("default", (("app", "api"),)), ("default", (("app", "web"),))]


def test_every_namespace_has_one_where_a_route_asks_for_it() -> None:
    found = shown(entry("reviews", namespace="a"), entry("ratings", namespace="b"), routed("{sourceNamespace: b}"))

    assert found == [("a", ()), ("b", ()), ("default", ())]


def test_a_sidecar_has_one_that_it_selects() -> None:
    sidecar = istio("Sidecar", "workloadSelector: {labels: {app: web}}, egress: [{hosts: ['./*']}]")

    assert shown(entry("reviews"), sidecar) == [("default", ()), ("default", (("app", "web"),))]


def test_a_telemetry_has_one_that_it_is_for() -> None:
    mine = istio("Telemetry", "selector: {matchLabels: {app: web}}, tracing: [{}]", namespace="shop")

    assert shown(mine) == [("default", ()), ("shop", (("app", "web"),))]
