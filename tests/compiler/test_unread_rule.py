"""DestinationRules that ask for TLS and cannot be read."""

from __future__ import annotations

import pytest

from tests.builders import documents
from xds_server.compiler.compile import compile_mesh
from xds_server.compiler.unread_rule import NOBODY_HAS, stand_in
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.policy.document import BrokenDocument, PolicySet
from xds_server.problem import Origin, Problem

SERVICE = """
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {name: bank}
    spec:
      hosts: [bank]
      ports: [{number: 80, name: http, protocol: HTTP}]
      resolution: STATIC
      endpoints: [{address: 10.0.0.1}]
"""
RULE = """
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {name: another}
    spec:
      host: bank
      trafficPolicy: {tls: {mode: DISABLE}, loadBalancer: {simple: RANDOM}}
"""


def broken(spec: object, kind: str = "DestinationRule") -> BrokenDocument:
    """A document of which no form is in force."""
    return BrokenDocument(kind, "default", "bank", spec, Origin("a.yaml", 7, kind, "default", "bank"))


def compiled(*text: str, spec: object) -> tuple[Mesh, tuple[Problem, ...]]:
    """With one broken document beside those that can be read."""
    found = tuple(document for each in text for document in documents(each))
    return compile_mesh(PolicySet(found, broken=(broken(spec),)), Memo())


@pytest.mark.parametrize(
    "policy",
    [
        {"trafficPolicy": {"tls": {"mode": "SIMPEL"}}},
        {"trafficPolicy": {"tls": "MUTUAL"}},
        {"trafficPolicy": {"portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "SIMPLE"}}]}, "typo": 1},
        {"subsets": [{"name": "v1", "trafficPolicy": {"tls": {"mode": "MUTUAL"}}}]},
    ],
)
def test_what_asks_for_tls_in_any_place_closes_its_host(policy: dict[str, object]) -> None:
    mesh, problems = compiled(SERVICE, spec={"host": "bank", **policy})

    tls = mesh.scope("default").backends["bank"].traffic.policy_for(80, "").tls
    assert tls is not None
    assert tls.credentials == {f"{NOBODY_HAS}-cacert"}
    assert [(problem.code, problem.file, problem.line) for problem in problems] == [("fails-closed", "a.yaml", 7)]


def test_another_rule_for_the_host_does_not_open_it() -> None:
    """It still decides everything else."""
    mesh, problems = compiled(SERVICE, RULE, spec={"host": "bank", "trafficPolicy": {"tls": {"mode": "X"}}})

    policy = mesh.scope("default").backends["bank"].traffic.policy_for(80, "")
    assert policy.tls is not None
    assert NOBODY_HAS in policy.tls.credential_name
    assert "RANDOM" in str(policy.load_balancer)
    assert {problem.code for problem in problems} == {"fails-closed", "duplicate-section"}


def test_rule_for_some_workloads_closes_the_host_for_those_only() -> None:
    spec = {
        "host": "bank",
        "workloadSelector": {"matchLabels": {"app": "web"}},
        "trafficPolicy": {"tls": {"mode": "X"}},
    }

    mesh, problems = compiled(SERVICE, spec=spec)

    assert mesh.scope("default").backends["bank"].traffic.policy_for(80, "").tls is None
    assert [rule.selector for rule in mesh.selective] == [(("app", "web"),)]
    assert [problem.code for problem in problems] == ["fails-closed"]


@pytest.mark.parametrize(
    "spec",
    [
        {"host": "bank", "trafficPolicy": {"tls": {"mode": "DISABLE"}, "typo": 1}},
        {"host": "bank", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM", "typo": 1}, "tls": None}},
        {"trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
        {"host": 5, "trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
        {"host": "", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
        {"host": "bank of england", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
        None,
        ["tls"],
    ],
)
def test_what_asks_for_none_or_names_no_host_is_left_out(spec: object) -> None:
    compiled(SERVICE, spec=spec)
    assert stand_in(broken(spec)).value == ()


def test_selector_that_cannot_be_made_out_is_everybody() -> None:
    (found,) = stand_in(broken({"host": "bank", "workloadSelector": 5, "trafficPolicy": {"tls": {}}})).value

    assert getattr(found.spec, "workload_selector", 0) is None
