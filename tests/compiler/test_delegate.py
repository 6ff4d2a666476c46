"""Rules that go on in another VirtualService."""

from __future__ import annotations

import pytest

from tests.builders import codes, compiled, document, entry, istio
from xds_server.compiler.delegate import Delegating, Delegation, filled, placed_rules
from xds_server.compiler.table import Diff
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.policy.document import Document
from xds_server.policy.virtual_service import HTTPRoute
from xds_server.problem import Problem

TO = "route: [{destination: {host: reviews}}]"


def root(rule: str = "", *, name: str = "root") -> Document:
    http = f"[{{{rule}{', ' if rule else ''}delegate: {{name: leaf}}}}]"
    return document(istio("VirtualService", f"hosts: [reviews], http: {http}", name=name))


def leaf(*rules: str, more: str = "", namespace: str = "default") -> Document:
    http = ", ".join(f"{{{rule}{', ' if rule else ''}{TO}}}" for rule in rules)
    return document(istio("VirtualService", f"http: [{http}]{more}", name="leaf", namespace=namespace))


def made(root_rule: str, *rules: str) -> list[HTTPRoute]:
    return [rule for rule, _ in placed_rules(filled(root(root_rule), (leaf(*rules),), ()).value)]


def problems(root_document: Document, delegate: Document | None) -> list[Problem]:
    known = (("default", "leaves"),)
    return list(filled(root_document, (delegate,), known).problems)


def test_document_that_delegates_nothing_stays_as_it_is() -> None:
    plain = document(istio("VirtualService", f"hosts: [reviews], http: [{{{TO}}}]"))

    assert filled(plain, (), ()).value is plain


def test_rules_of_the_delegate_stand_where_the_root_named_it() -> None:
    found = filled(root(), (leaf("name: a", "name: b"),), ()).value

    assert isinstance(found, Delegating)
    assert [rule.name for rule, _ in placed_rules(found)] == ["a", "b"]
    assert [place.document.name for place in found.places] == ["leaf", "leaf"]


def test_names_are_joined() -> None:
    (rule,) = made("name: r, match: [{name: m}]", "name: l, match: [{name: o}]")

    assert (rule.name, rule.match[0].name) == ("r-l", "m-o")


def test_root_fills_in_what_the_delegate_leaves_out() -> None:
    (silent,) = made("timeout: 2s, rewrite: {uri: /x}", "")
    (speaking,) = made("timeout: 2s", "timeout: 5s")

    assert silent.timeout is not None
    assert silent.timeout.total_seconds() == 2
    assert silent.rewrite is not None
    assert speaking.timeout is not None
    assert speaking.timeout.total_seconds() == 5


def test_match_of_the_root_narrows_that_of_the_delegate() -> None:
    (rule,) = made(
        "match: [{uri: {prefix: /a}, headers: {x: {exact: '1'}}, gateways: [mesh]}]",
        "match: [{uri: {prefix: /a/b}, headers: {z: {exact: '2'}}}]",
    )

    (match,) = rule.match
    assert match.uri is not None
    assert match.uri.prefix == "/a/b"
    assert sorted(match.headers) == ["x", "z"]
    assert match.gateways == ("mesh",)


def test_each_match_of_the_delegate_stands_within_each_of_the_root() -> None:
    (rule,) = made("match: [{uri: {prefix: /a}}, {port: 80}]", "match: [{uri: {exact: /a/b}}, {method: {exact: GET}}]")

    assert len(rule.match) == 4


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ("uri: {prefix: /a}", "uri: {prefix: /b}"),
        ("uri: {prefix: /a}", "uri: {exact: /b}"),
        ("uri: {prefix: /a}", "uri: {regex: /a.*}"),
        ("uri: {exact: /a}", "uri: {prefix: /a}"),
        ("uri: {regex: /a.*}", "uri: {exact: /a}"),
        ("method: {exact: GET}", "method: {exact: PUT}"),
        ("headers: {x: {exact: a}}", "headers: {x: {exact: b}}"),
        ("withoutHeaders: {x: {exact: a}}", "withoutHeaders: {x: {exact: b}}"),
        ("queryParams: {x: {exact: a}}", "queryParams: {x: {exact: b}}"),
        ("port: 80", "port: 81"),
        ("sourceLabels: {x: a}", "sourceLabels: {x: b}"),
        ("sourceNamespace: a", "sourceNamespace: b"),
        ("gateways: [a]", "gateways: [b]"),
        ("ignoreUriCase: true", "uri: {prefix: /a}"),
    ],
)
def test_rule_that_the_root_lets_nothing_through_for_is_dropped_and_reported(outer: str, inner: str) -> None:
    found = filled(root(f"match: [{{{outer}}}]"), (leaf(f"match: [{{{inner}}}]", ""),), ())

    assert len(placed_rules(found.value)) == 1
    assert codes(found.problems) == ["inert-delegate"]
    assert found.problems[0].name == "leaf"


def test_missing_delegate_is_reported_with_the_nearest_name() -> None:
    (problem,) = problems(root(), None)

    assert "default/leaves" in problem.fix
    assert problem.field == "spec.http[0].delegate"


def test_delegate_must_be_exported_to_the_root() -> None:
    elsewhere = document(
        istio("VirtualService", "hosts: [reviews], http: [{delegate: {name: leaf, namespace: shop}}]", name="root")
    )

    assert not problems(elsewhere, leaf("", namespace="shop"))
    assert codes(problems(elsewhere, leaf("", namespace="shop", more=", exportTo: [.]"))) == ["inert-delegate"]


def test_document_with_hosts_is_no_delegate() -> None:
    own = document(istio("VirtualService", f"hosts: [reviews], http: [{{{TO}}}]", name="leaf"))

    assert codes(problems(root(), own)) == ["inert-delegate"]


def test_short_destinations_mean_the_namespace_of_the_delegate() -> None:
    text = istio("VirtualService", "hosts: [a], http: [{delegate: {name: leaf, namespace: shop}}]", name="root")

    ((rule, _),) = placed_rules(filled(document(text), (leaf("", namespace="shop"),), ()).value)

    assert rule.route[0].destination.host == "reviews.shop"


def test_edited_delegate_makes_its_roots_anew_and_nobody_else() -> None:
    delegation = Delegation(Memo())
    one, former, new = root(name="one"), leaf(""), leaf("name: b")
    other = document(istio("VirtualService", f"hosts: [b], http: [{{{TO}}}]", name="other"))
    first = delegation.update(Diff(added=frozenset({one, other, former})))

    second = delegation.update(Diff(frozenset({former}), frozenset({new})))

    assert {each.name for each in first.added} == {"one", "other", "leaf"}
    assert {each.name for each in second.added} == {"one", "leaf"}
    assert {each.name for each in second.removed} == {"one", "leaf"}


def test_delegate_may_come_after_its_root() -> None:
    memo = Memo()
    text = entry() + istio("VirtualService", "hosts: [reviews], http: [{delegate: {name: leaf}}]", name="root")
    before, warned = compiled(text, memo=memo)

    after, quiet = compiled(text + istio("VirtualService", f"http: [{{name: found, {TO}}}]", name="leaf"), memo=memo)

    assert codes(warned) == ["inert-delegate"]
    assert not quiet
    assert (names(before), names(after)) == ([], ["found"])


def names(mesh: Mesh) -> list[str]:
    return [route.name for host in mesh.default_scope.virtual_hosts for route in host.routes]
