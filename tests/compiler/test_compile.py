"""Policies in, mesh out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import BaseModel

from tests.builders import codes, compiled, documents, entry, istio, policy_set, workload
from tests.examples import OWNERS_DOCUMENTS
from xds_server.compiler.compile import compile_mesh
from xds_server.compiler.premises import Premises
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.traffic import LoadBalancing, OutlierDetection
from xds_server.mesh.view import view_for
from xds_server.policy.document import PolicySet

WORKER = documents(OWNERS_DOCUMENTS)


def worker_mesh() -> Mesh:
    return compiled(WORKER, entry("worker-service"))[0]


def test_two_rules_for_the_worker_make_one_policy() -> None:
    policy = worker_mesh().scope("default").backends["worker-service"].traffic.policies.default
    pool = policy.connection_pool

    assert policy.load_balancer.policy is LoadBalancing.LEAST_REQUEST
    assert (pool.max_connections, pool.max_pending_requests, pool.max_requests_per_connection) == (100, 10, 2)
    assert policy.outlier_detection == OutlierDetection(
        consecutive_5xx=5,
        interval=timedelta(seconds=30),
        base_ejection_time=timedelta(seconds=30),
        max_ejection_percent=50,
    )


def test_three_virtual_services_for_the_worker_make_one_list_of_routes() -> None:
    (host,) = worker_mesh().scope("default").virtual_hosts
    marked, rest = host.routes
    retries = [route.retry for route in host.routes if route.retry]

    assert [header.name for header in marked.match.headers] == ["x-retry"]
    assert rest.match.is_catch_all
    assert (marked.timeout, rest.timeout) == (None, timedelta(seconds=10))
    assert [(retry.attempts, retry.per_try_timeout) for retry in retries] == [(3, timedelta(seconds=5))] * 2
    assert retries[0].conditions == ("5xx", "connect-failure", "refused-stream")


def test_what_the_worker_policies_say_in_vain_is_reported() -> None:
    _, problems = compiled(WORKER, entry("worker-service"))

    assert [(problem.name, problem.code, problem.line) for problem in problems] == [
        ("worker-timeout", "unreachable-route", 30),
        ("worker-service", "duplicate-section", 52),
    ]


def test_services_are_there_whether_anybody_sees_them_or_not() -> None:
    mesh, _ = compiled(entry("b"), entry("a", 'exportTo: ["~"]'))

    assert [service.host for service in mesh.services] == ["a", "b"]
    assert list(mesh.scope("default").backends) == ["b"]


def test_sidecars_with_a_selector_come_first() -> None:
    spec = "egress: [{hosts: ['./*']}]"
    selecting = f"workloadSelector: {{labels: {{app: a}}}}, {spec}"
    mesh, _ = compiled(istio("Sidecar", spec, name="a"), istio("Sidecar", selecting, name="b"))

    assert [bool(sidecar.selector) for sidecar in mesh.sidecars] == [True, False]


def test_problems_are_in_order_of_place_and_none_is_told_twice() -> None:
    broken = istio("VirtualService", "hosts: [gone], http: [{route: [{destination: {host: gone}}]}]", namespace="shop")
    _, problems = compiled(broken, istio("DestinationRule", "host: gone, subsets: [{name: v1}]"))

    assert list(problems) == sorted(set(problems))
    assert codes(problems) == ["unknown-host"] * 3


def test_nothing_compiles_to_an_empty_mesh() -> None:
    mesh, problems = compile_mesh(PolicySet(), Memo())

    assert (mesh.services, dict(mesh.scopes), mesh.default_scope.virtual_hosts, problems) == ((), {}, (), ())


def test_document_that_is_gone_leaves_nothing_behind() -> None:
    memo = Memo()
    compile_mesh(policy_set(WORKER, entry("worker-service")), memo)
    mesh, problems = compile_mesh(PolicySet(), memo)

    assert (mesh.services, dict(mesh.scopes), mesh.default_scope.virtual_hosts, problems) == ((), {}, (), ())
    assert len(memo) == 0


class Nothing(BaseModel):
    """A spec that no store would give."""


def test_defect_in_one_compilation_does_not_spoil_the_next() -> None:
    """Whoever calls keeps the last good mesh and goes on; nothing half done may be believed."""
    memo = Memo()
    good = policy_set(entry("reviews"), entry("ratings"))
    impossible = replace(good.documents[0], spec=Nothing())
    with pytest.raises(AttributeError):
        compile_mesh(PolicySet((*good.documents, impossible)), memo)

    assert list(compile_mesh(good, memo)[0].default_scope.backends) == ["ratings", "reviews"]


def test_rule_of_the_root_namespace_holds_for_all_others() -> None:
    rule = istio("DestinationRule", "host: reviews.shop, subsets: [{name: v1}]", namespace="istio-system")
    policies = policy_set(entry("reviews.shop", namespace="shop"), rule)

    ordinary, _ = compile_mesh(policies, Memo())
    mesh, _ = compile_mesh(policies, Memo(), Premises("istio-system"))

    assert ordinary.scope("web").backends["reviews.shop"].traffic.subset("v1") is None
    assert mesh.scope("web").backends["reviews.shop"].traffic.subset("v1") is not None


def test_sidecar_of_the_root_namespace_is_everybodys_default() -> None:
    """Its "./" is the namespace of the workload (Istio: Sidecar, the mesh-wide default)."""
    sidecar = istio("Sidecar", "egress: [{hosts: ['./*']}]", namespace="istio-system")
    policies = policy_set(entry("a", namespace="shop"), entry("b", namespace="other"), sidecar)

    mesh, _ = compile_mesh(policies, Memo(), Premises("istio-system"))

    assert [found.service.host for found in view_for(mesh, workload(namespace="shop")).backends] == ["a"]
