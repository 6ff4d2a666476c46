"""What holds of compiling, whatever the policies are."""

from __future__ import annotations

import random
from functools import cache

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.builders import document, policy_set
from xds_server.compiler.compile import compile_mesh
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.policy.document import Document, PolicySet

NAMESPACES = ("default", "shop", "bank")
HOSTS = ("reviews", "ratings", "reviews.shop.svc.cluster.local", "ratings.bank", "api.example.com", "*.example.com")
EXPORTS = ("", 'exportTo: ["."]', "exportTo: [bank]", 'exportTo: ["*"]')


@cache
def parsed(kind: str, namespace: str, name: str, spec: str) -> Document:
    """One document; the same object for the same text, as a store gives it."""
    text = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n"
    return document(f"{text}spec: {{{spec}}}\n")


def one_of(template: str, **choices: tuple[str, ...]) -> st.SearchStrategy[str]:
    """`template` with each of its fields filled in by one of the choices."""
    return st.fixed_dictionaries({name: st.sampled_from(words) for name, words in choices.items()}).map(
        lambda chosen: template % chosen
    )


SPECS = {
    "ServiceEntry": one_of(
        "hosts: [%(host)s], resolution: STATIC, ports: [{number: 80, name: web, protocol: %(protocol)s}],"
        " %(endpoints)s, %(export)s",
        host=("reviews", "ratings", "reviews.shop.svc.cluster.local", "ratings.bank", "api.example.com"),
        protocol=("HTTP", "TCP"),
        endpoints=("endpoints: [{address: 10.0.0.1, labels: {v: v1}}]", "workloadSelector: {labels: {app: a}}"),
        export=EXPORTS,
    ),
    "WorkloadEntry": one_of("address: %(a)s, labels: {app: %(app)s}", a=("10.1.0.1", "10.1.0.2"), app=("a", "b")),
    "DestinationRule": one_of(
        "host: '%(host)s', trafficPolicy: {%(policy)s}, subsets: [{name: %(subset)s, labels: {v: v1}}], %(export)s",
        host=(*HOSTS, "*"),
        policy=("loadBalancer: {simple: RANDOM}", "outlierDetection: {consecutive5xxErrors: 7}"),
        subset=("v1", "v2"),
        export=EXPORTS,
    ),
    "VirtualService": one_of(
        "hosts: ['%(host)s'], http: [{%(match)s route: [{destination: {host: %(to)s %(subset)s}}]}], %(export)s",
        host=HOSTS,
        match=("", "match: [{uri: {prefix: /a}}],"),
        to=("reviews", "ratings", "ratings.bank", "api.example.com"),
        subset=("", ", subset: v1"),
        export=EXPORTS,
    ),
    "Sidecar": one_of("egress: [{hosts: ['%(host)s']}]", host=("./*", "*/reviews")),
}
DOCUMENTS = st.sampled_from(sorted(SPECS)).flatmap(
    lambda kind: st.builds(
        parsed, st.just(kind), st.sampled_from(NAMESPACES), st.sampled_from(("one", "two")), SPECS[kind]
    )
)
POLICIES = st.lists(DOCUMENTS, max_size=14, unique_by=lambda found: found.key)


def meaning(policies: PolicySet, memo: Memo | None = None) -> str:
    """Everything that a compilation gives, as text."""
    mesh, problems = compile_mesh(policies, memo or Memo())
    return "\n".join([repr(mesh), *map(str, problems)])


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How fast the machine is decides nothing."""


@UNHURRIED
@given(POLICIES, st.randoms(use_true_random=False))
def test_order_of_documents_never_changes_the_result(documents: list[Document], chance: random.Random) -> None:
    """Which file a document stands in, and where, means nothing."""
    shuffled = list(documents)
    chance.shuffle(shuffled)

    assert meaning(PolicySet(tuple(documents))) == meaning(PolicySet(tuple(shuffled)))


@UNHURRIED
@given(st.lists(POLICIES, min_size=2, max_size=4))
def test_what_was_compiled_before_never_changes_the_result(generations: list[list[Document]]) -> None:
    """Whatever is kept between two compilations must be as if it had just been made."""
    memo = Memo()

    for documents in generations:
        policies = policy_set(documents)
        assert meaning(policies, memo) == meaning(policies)


@UNHURRIED
@given(POLICIES)
def test_compiling_the_same_documents_again_gives_the_same_objects(documents: list[Document]) -> None:
    """Whoever compares by identity must find nothing to do."""
    memo = Memo()
    before, _ = compile_mesh(policy_set(documents), memo)
    after, _ = compile_mesh(policy_set(documents), memo)

    assert identities(before) == identities(after)


@UNHURRIED
@given(POLICIES)
def test_edit_of_one_host_leaves_the_objects_of_others(documents: list[Document]) -> None:
    """An edit costs what it touches."""
    memo = Memo()
    spec = "hosts: [details], http: [{timeout: %ss, route: [{destination: {host: details}}]}]"
    first, second = (parsed("VirtualService", "default", "edited", spec % seconds) for seconds in (1, 2))
    before, _ = compile_mesh(policy_set(documents, first), memo)
    after, _ = compile_mesh(policy_set(documents, second), memo)

    assert before.services == after.services
    for scope in (before.default_scope, *before.scopes.values()):
        now = after.scope(scope.namespace) if scope.namespace else after.default_scope
        assert dict(scope.backends) == dict(now.backends)
        assert {found.host for found in {*scope.virtual_hosts} ^ {*now.virtual_hosts}} == {"details"}


def identities(mesh: Mesh) -> list[int]:
    """Every object that is compared by identity."""
    scopes = [mesh.default_scope, *mesh.scopes.values()]
    parts = [(*scope.backends.values(), *scope.virtual_hosts) for scope in scopes]
    return [id(part) for part in (*scopes, *mesh.services, *mesh.sidecars, *(p for found in parts for p in found))]
