"""What PeerAuthentications mean, and that no mistake in one opens a door."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import codes, compiled, document, documents, istio, policy_set
from xds_server.compiler.compile import compile_mesh
from xds_server.compiler.peer_authentication import peer_policy, unread_policy
from xds_server.compiler.premises import Premises
from xds_server.memo import Memo
from xds_server.mesh.security import MutualTls, PeerPolicy
from xds_server.policy.document import BrokenDocument, as_broken
from xds_server.problem import Origin, Severity

ROOT = "default"
PREMISES = Premises(ROOT, ROOT)
POLICIES_ALONE = Premises("istio-system", "default")
"""A root namespace of its own, as Istio installs it."""
WEB = (("app", "web"),)


def authentication(spec: str, *, name: str = "one", namespace: str = "shop") -> str:
    return istio("PeerAuthentication", spec, name=name, namespace=namespace)


def made(spec: str, *, namespace: str = "shop") -> PeerPolicy:
    return peer_policy(document(authentication(spec, namespace=namespace)), PREMISES).value


def broken(spec: object, *, namespace: str = "shop") -> BrokenDocument:
    origin = Origin("a.yaml", 7, "PeerAuthentication", namespace, "one")
    return BrokenDocument("PeerAuthentication", namespace, "one", spec, origin)


@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        ("", PeerPolicy("shop")),
        ("mtls: {}", PeerPolicy("shop")),
        ("mtls: {mode: UNSET}", PeerPolicy("shop")),
        ("mtls: {mode: DISABLE}", PeerPolicy("shop", mode=MutualTls.DISABLE)),
        ("mtls: {mode: PERMISSIVE}", PeerPolicy("shop", mode=MutualTls.PERMISSIVE)),
        ("mtls: {mode: STRICT}", PeerPolicy("shop", mode=MutualTls.STRICT)),
        ("selector: {matchLabels: {app: web}}", PeerPolicy("shop", WEB)),
        (
            "selector: {matchLabels: {app: web}}, portLevelMtls: {9090: {}, 8080: {mode: STRICT}}",
            PeerPolicy("shop", WEB, None, ((8080, MutualTls.STRICT), (9090, None))),
        ),
    ],
)
def test_what_is_written_is_what_is_asked(spec: str, policy: PeerPolicy) -> None:
    assert made(spec) == policy


def test_root_namespace_is_the_mesh() -> None:
    assert made("mtls: {mode: STRICT}", namespace=ROOT) == PeerPolicy("", mode=MutualTls.STRICT)


def test_document_without_a_namespace_that_selects_is_for_workloads_of_the_default_one() -> None:
    """So it is written where there is one namespace, and nobody writes it down."""
    spec = "selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}, portLevelMtls: {8080: {mode: DISABLE}}"
    (written,) = documents(
        f"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: web}}\nspec: {{{spec}}}\n"
    )
    mesh, problems = compiled([written], authentication("mtls: {mode: STRICT}", namespace=ROOT))

    assert problems == ()
    assert mesh.peers.mode(ROOT, WEB, 8080) is MutualTls.DISABLE
    assert mesh.peers.mode(ROOT, WEB, 80) is MutualTls.PERMISSIVE
    assert mesh.peers.mode(ROOT, (("app", "db"),), 8080) is MutualTls.STRICT


@pytest.mark.parametrize("mode", ["DISABLE", "PERMISSIVE"])
def test_selector_in_the_root_namespace_opens_no_workload_of_another(mode: str) -> None:
    weaker = authentication(f"selector: {{matchLabels: {{app: web}}}}, mtls: {{mode: {mode}}}", namespace=ROOT)
    mesh, _ = compiled(weaker, authentication("mtls: {mode: STRICT}", namespace=ROOT, name="mesh"))

    assert mesh.peers.mode(ROOT, WEB) is MutualTls[mode]
    assert mesh.peers.mode("shop", WEB) is MutualTls.STRICT


def test_selector_in_a_root_namespace_of_policies_alone_is_an_error_and_strict_wherever_it_may_be_meant() -> None:
    """Istio says that it selects in every namespace, and ignores it: a mesh that was to be closed stays open."""
    spec = "selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}"
    found = peer_policy(document(authentication(spec, namespace="istio-system")), POLICIES_ALONE)

    (problem,) = found.problems
    assert found.value == PeerPolicy("", WEB, MutualTls.STRICT)
    assert (problem.severity, problem.code, problem.field) == (Severity.ERROR, "fails-closed", "spec.selector")


def test_root_namespace_that_a_mesh_config_names_is_one_of_policies_alone() -> None:
    config = istio("MeshConfig", "rootNamespace: infra").replace("/v1\n", "/v1alpha1\n")
    spec = "selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}"
    mesh, problems = compiled(config, *(authentication(spec, namespace=namespace) for namespace in ("infra", ROOT)))

    assert codes(problems) == ["fails-closed"]
    assert mesh.peers.mode("shop", WEB) is MutualTls.STRICT


def test_selector_without_labels_is_told_to_be_for_all() -> None:
    found = peer_policy(document(authentication("selector: {}, mtls: {mode: STRICT}")), PREMISES)

    assert found.value == PeerPolicy("shop", mode=MutualTls.STRICT)
    assert codes(found.problems) == ["empty-selector"]


@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        (None, PeerPolicy("shop", (), MutualTls.STRICT)),
        ({"mtls": "STRICT"}, PeerPolicy("shop", (), MutualTls.STRICT)),
        ({"selector": {"matchLabels": {"app": "web"}}, "mtls": 5}, PeerPolicy("shop", WEB, MutualTls.STRICT)),
        ({"selector": {"match_labels": {"app": "web"}}, "mtls": 5}, PeerPolicy("shop", WEB, MutualTls.STRICT)),
        ({"selector": {"matchLabels": {"app": True}}}, PeerPolicy("shop", (), MutualTls.STRICT)),
        ({"selector": {"app": "web"}}, PeerPolicy("shop", (), MutualTls.STRICT)),
        ({"selector": "web"}, PeerPolicy("shop", (), MutualTls.STRICT)),
    ],
)
def test_what_cannot_be_read_is_strict_for_all_that_it_may_be_for(spec: object, policy: PeerPolicy) -> None:
    found = unread_policy(broken(spec), PREMISES)

    (problem,) = found.problems
    assert found.value == policy
    assert (problem.file, problem.line, problem.code) == ("a.yaml", 7, "fails-closed")


@pytest.mark.parametrize(("premises", "namespace"), [(PREMISES, ROOT), (POLICIES_ALONE, "")])
def test_what_cannot_be_read_and_selects_is_strict_where_such_a_policy_selects(
    premises: Premises, namespace: str
) -> None:
    one = broken({"selector": {"matchLabels": {"app": "web"}}, "mtls": 5}, namespace=premises.root_namespace)

    assert unread_policy(one, premises).value == PeerPolicy(namespace, WEB, MutualTls.STRICT)


@pytest.mark.parametrize("namespace", ["", ROOT])
def test_what_cannot_be_read_and_may_be_for_the_mesh_closes_it(namespace: str) -> None:
    assert unread_policy(broken(None, namespace=namespace), PREMISES).value == PeerPolicy("", (), MutualTls.STRICT)


def test_broken_document_holds_until_it_is_mended() -> None:
    memo = Memo()
    policies = policy_set(authentication("mtls: {mode: PERMISSIVE}", name="good", namespace="other"))
    closed, problems = compile_mesh(replace(policies, broken=(broken(None),)), memo)
    mended, no_problems = compile_mesh(policies, memo)

    assert closed.peers.mode("shop", ()) is MutualTls.STRICT
    assert codes(problems) == ["fails-closed"]
    assert mended.peers.mode("shop", ()) is MutualTls.PERMISSIVE
    assert no_problems == ()


def test_document_that_another_reason_keeps_out_closes_what_it_selects() -> None:
    out = as_broken(document(authentication("selector: {matchLabels: {app: web}}, mtls: {mode: PERMISSIVE}")))

    assert unread_policy(out, PREMISES).value == PeerPolicy("shop", WEB, MutualTls.STRICT)


def test_broken_document_of_another_kind_closes_nothing() -> None:
    policies = replace(policy_set(), broken=(replace(broken(None), kind="VirtualService"),))
    mesh, problems = compile_mesh(policies, Memo())

    assert mesh.peers.mode("shop", ()) is MutualTls.PERMISSIVE
    assert problems == ()


def test_two_for_one_scope_are_an_error_that_names_both() -> None:
    strict = authentication("mtls: {mode: STRICT}", name="zulu")
    mesh, problems = compiled(authentication("mtls: {mode: PERMISSIVE}", name="alpha"), strict)

    (problem,) = problems
    assert (problem.severity, problem.code, problem.name) == (Severity.ERROR, "duplicate-scope", "zulu")
    assert "PeerAuthentication/shop/alpha" in problem.message
    assert "PeerAuthentication/shop/zulu" in problem.message
    assert mesh.peers.mode("shop", ()) is MutualTls.STRICT


def test_policies_for_different_scopes_stand_beside_each_other() -> None:
    _, problems = compiled(
        authentication("mtls: {mode: STRICT}"),
        authentication("mtls: {mode: STRICT}", namespace="other"),
        authentication("selector: {matchLabels: {app: web}}", name="web"),
        authentication("selector: {matchLabels: {app: db}}", name="db"),
    )

    assert problems == ()


def test_removed_policy_asks_nothing_any_more() -> None:
    memo = Memo()
    compiled(authentication("mtls: {mode: STRICT}"), memo=memo)
    mesh, _ = compiled(memo=memo)

    assert mesh.peers.mode("shop", ()) is MutualTls.PERMISSIVE
