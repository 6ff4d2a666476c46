"""One document: identity, precedence, and everything that is to be said of it at once."""

from __future__ import annotations

import random

import pytest

from tests.examples import OWNERS_DOCUMENTS
from tests.policy.reading import errors, of_kind, parse, raw
from xds_server.policy.document import (
    Document,
    Positions,
    RawDocument,
    broken_document,
    broken_text,
    changes,
    dotted,
    identify,
    parse_document,
    precedence,
)
from xds_server.policy.virtual_service import VirtualServiceSpec
from xds_server.problem import Origin, Problem, Severity


@pytest.mark.parametrize(
    ("index", "old"),
    [
        (0, ["circuitBreaker", "consecutiveErrors"]),
        (1, ["host"]),
        (2, ["host"]),
        (3, ["host"]),
        (4, ["simple: LEAST_CONN", "circuitBreaker", "consecutiveErrors"]),
    ],
)
def test_the_owners_documents_load_as_they_are_with_a_note_for_each_old_spelling(index: int, old: list[str]) -> None:
    document, problems = parse(OWNERS_DOCUMENTS.split("---\n")[index])

    assert document is not None
    assert {problem.severity for problem in problems} == {Severity.NOTE}
    assert [problem.message.split(" is an old spelling")[0] for problem in problems] == old


def test_a_document_holds_what_was_written() -> None:
    document, problems = parse(
        """
        apiVersion: networking.istio.io/v1beta1
        kind: VirtualService
        metadata:
          name: a
          namespace: b
          labels: {team: x}
          annotations: {note: "y"}
          creationTimestamp: 2024-05-01T10:00:00Z
        spec: {hosts: [a], http: [{redirect: {uri: /}}]}
        status: {anything: 1}
        """
    )

    assert problems == ()
    assert document is not None
    assert document.key == ("VirtualService", "b", "a")
    assert document.api_version == "networking.istio.io/v1beta1"
    assert (document.labels, document.annotations) == ({"team": "x"}, {"note": "y"})
    assert document.created is not None
    assert document.origin == Origin("test.yaml", 1, "VirtualService", "b", "a")
    assert isinstance(document.spec, VirtualServiceSpec)


def test_everything_wrong_is_told_at_once_in_the_order_of_the_lines() -> None:
    document, problems = parse(
        """
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: a, lables: {}}
        spec:
          hosts: a
          http:
          - route: [{destination: {host: a, port: 80}}]
            timout: 5s
          - redirect: {}
        sepc: 1
        """
    )

    assert document is None
    assert [(p.line, p.column, p.field) for p in problems] == [
        (3, 21, "metadata.lables"),
        (5, 3, "spec.hosts"),
        (7, 37, "spec.http[0].route[0].destination.port"),
        (8, 5, "spec.http[0].timout"),
        (9, 5, "spec.http[1].redirect"),
        (10, 1, "sepc"),
    ]
    assert {p.severity for p in problems} == {Severity.ERROR}
    assert all(
        (p.kind, p.namespace, p.name, p.file) == ("VirtualService", "default", "a", "test.yaml") for p in problems
    )


def test_no_message_is_pydantics() -> None:
    _, problems = parse(
        """
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: a}
        spec:
          host: []
          subsets: {}
          exportTo: [1]
          trafficPolicy: {tls: 5, connectionPool: {tcp: {maxConnections: x}}}
        """
    )

    assert len(problems) == 5
    assert not [p for p in problems if "pydantic" in str(p) or "Input should" in str(p) or "valid dictionary" in str(p)]


def test_what_is_quoted_of_a_document_is_no_longer_than_anybody_reads() -> None:
    """A certificate may stand where a host belongs, and each problem is logged."""
    ((_, message),) = errors(
        "VirtualService", f"hosts: ['{'x' * 300_000}']\nhttp: [{{directResponse: {{status: 200}}}}]"
    )

    assert len(message) < 2100
    assert message.endswith('x" is not a host name')


def test_protos_spelling_is_read_and_mistakes_are_told_in_istios() -> None:
    document, problems = of_kind("DestinationRule", "host: a\ntraffic_policy:\n  load_balancer: {simple: NONE}")

    assert document is None
    assert [(p.field, p.line, p.column) for p in problems] == [("spec.trafficPolicy.loadBalancer.simple", 7, 21)]


def test_a_key_with_nothing_after_it_is_left_out_and_told() -> None:
    document, problems = of_kind("VirtualService", "hosts: [a]\nhttp:\n- redirect: {uri: /}\n  rewrite:")

    assert document is not None
    assert [(p.severity, p.code, p.field) for p in problems] == [
        (Severity.WARNING, "empty-value", "spec.http[0].rewrite")
    ]


def test_a_document_needs_a_spec() -> None:
    document, problems = parse("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: a}")

    assert document is None
    assert [(p.code, p.field, p.line) for p in problems] == [("missing-field", "spec", 1)]


def test_mesh_configuration_without_its_kind_is_known_by_its_fields() -> None:
    """That is how Istio itself keeps it: in a file of its own, or in a ConfigMap."""
    _, (bare,) = parse("accessLogFile: /dev/stdout\nrootNamespace: istio-system")
    _, (other,) = parse("services: {web: {image: x}}")

    assert "kind: MeshConfig" in bare.fix
    assert not other.fix


@pytest.mark.parametrize(
    ("text", "severity", "code"),
    [
        ("- a", Severity.ERROR, "invalid-value"),
        ("services: {web: {image: x}}", Severity.WARNING, "not-a-policy"),
        ("kind: VirtualService\nmetadata: {name: a}", Severity.ERROR, "missing-field"),
        ("apiVersion: networking.istio.io/v1\nspec: {}", Severity.ERROR, "missing-field"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}", Severity.WARNING, "not-a-policy"),
        (
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}",
            Severity.ERROR,
            "unsupported-kind",
        ),
    ],
)
def test_what_is_no_policy_of_ours_is_told(text: str, severity: Severity, code: str) -> None:
    document, problems = parse(text)

    assert document is None
    assert [(p.severity, p.code) for p in problems] == [(severity, code)]


def test_an_empty_document_is_nothing() -> None:
    assert parse_document(RawDocument("a.yaml", None, Positions(1, 1)), "default") == (None, ())


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        ("kind: A\nmetadata: {name: b}", ("A", "default", "b")),
        ("kind: A\nmetadata: {name: b, namespace: c}\nspec: wrong", ("A", "c", "b")),
        ("kind: A\nmetadata: {namespace: c}", None),
        ("kind: A\nmetadata: {name: 5}", None),
        ("metadata: {name: b}", None),
        ("kind: A\nmetadata: b", None),
        ("- a", None),
    ],
)
def test_identity_is_known_of_documents_that_are_wrong_elsewhere(
    text: str, identity: tuple[str, str, str] | None
) -> None:
    assert identify(raw(text), "default") == identity


def named(name: str, namespace: str = "b", created: str = "") -> Document:
    age = f", creationTimestamp: '{created}'" if created else ""
    document, _ = parse(
        f"""
        apiVersion: networking.istio.io/v1
        kind: WorkloadEntry
        metadata: {{name: {name}, namespace: {namespace}{age}}}
        spec: {{address: 10.0.0.1}}
        """
    )
    assert document is not None
    return document


def test_precedence_is_age_where_given_then_namespace_then_name() -> None:
    ordered = [
        named("z", created="2024-01-01T00:00:00Z"),
        named("a", created="2024-01-02T00:00:00Z"),
        named("z", namespace="a"),
        named("a"),
        named("b"),
    ]
    shuffled = random.Random(7).sample(ordered, len(ordered))

    assert sorted(shuffled, key=precedence) == ordered


def test_paths_are_dotted_and_a_key_with_a_dot_is_quoted() -> None:
    assert dotted(("spec", "http", 0, "timeout")) == "spec.http[0].timeout"
    assert dotted(("spec", "labels", "a.b/c")) == 'spec.labels["a.b/c"]'
    assert dotted(()) == ""


def test_a_problem_reads_as_one_line() -> None:
    _, problems = of_kind("WorkloadEntry", "address: 10.0.0.1\nweight: '2'")

    assert [str(problem) for problem in problems if isinstance(problem, Problem)] == [
        'test.yaml:6:3: error: WorkloadEntry/default/test spec.weight: must be a number, not "2"'
        " (write 2 without quotes) [invalid-value]"
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("kind: PeerAuthentication\nmetadata: {name: a, namespace: b}", ("PeerAuthentication", "b", "a")),
        ("kind: PeerAuthentication\nmetadata: {name: a}", ("PeerAuthentication", "default", "a")),
        ("kind: PeerAuthentification\nmetadata: {name: a}", ("PeerAuthentication", "default", "a")),
        ("kind: PeerAuthentication\nmetadata: {name: 5, namespace: [b]}", ("PeerAuthentication", "", "")),
        ("kind: PeerAuthentication", ("PeerAuthentication", "default", "")),
    ],
)
def test_what_can_be_made_out_of_a_broken_document(text: str, found: tuple[str, str, str]) -> None:
    broken = broken_document(raw(text), "default")

    assert broken is not None
    assert (broken.kind, broken.namespace, broken.name) == found


@pytest.mark.parametrize("text", ["- a", "kind: Service", "kind: [a]", "{}"])
def test_a_document_of_no_kind_of_ours_means_nothing(text: str) -> None:
    assert broken_document(raw(text), "default") is None


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: x\nkind: PeerAuthentication\nmetadata:\n  name: a\n  namespace: b\nspec: [",
        '{"kind": "PeerAuthentication", "metadata": {"name": "a", "namespace": "b"}, "spec": ',
    ],
)
def test_text_that_is_no_yaml_still_tells_what_it_was(text: str) -> None:
    broken = broken_text(text, "a.yaml", 7)

    assert broken is not None
    assert (broken.kind, broken.namespace, broken.name, broken.spec) == ("PeerAuthentication", "b", "a", None)
    assert (broken.origin.file, broken.origin.line) == ("a.yaml", 7)


def test_text_without_a_kind_means_nothing() -> None:
    assert broken_text("a: [", "a.yaml", 1) is None


def test_an_edit_in_place_is_one_document_gone_and_one_new() -> None:
    before, kept, after = a_document("web"), a_document("api"), a_document("web")

    assert changes((kept, before), (kept, after)) == (frozenset({before}), frozenset({after}))


def test_a_document_that_only_moved_is_neither_gone_nor_new() -> None:
    first, second, third = a_document("a"), a_document("b"), a_document("c")

    assert changes((first, second, third), (second, first, third)) == (frozenset(), frozenset())


def test_documents_that_came_and_went_are_told_from_those_that_stayed() -> None:
    gone, stays, new, another = a_document("a"), a_document("b"), a_document("c"), a_document("d")

    assert changes((gone, stays), (stays, new, another)) == (frozenset({gone}), frozenset({new, another}))


def a_document(name: str) -> Document:
    document, _ = parse(
        f"{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: {name}}}, "
        "spec: {hosts: [a], http: [{redirect: {uri: /}}]}}"
    )
    assert document is not None
    return document
