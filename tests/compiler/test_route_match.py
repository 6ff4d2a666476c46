"""What one match means."""

from __future__ import annotations

import yaml

from xds_server.compiler.route_match import match
from xds_server.mesh.route import HeaderMatch, Match, MatchKind, QueryMatch, StringMatch
from xds_server.policy.virtual_service import HTTPMatchRequest

PRESENT = StringMatch(MatchKind.PRESENT)


def made(written: str) -> Match:
    return match(HTTPMatchRequest.model_validate(yaml.safe_load(f"{{{written}}}")))


def exact(value: str) -> StringMatch:
    return StringMatch(MatchKind.EXACT, value)


def test_nothing_written_matches_everything() -> None:
    assert made("") == Match()
    assert made("").is_catch_all


def test_each_condition_is_taken() -> None:
    found = made(
        "uri: {prefix: /a}, ignoreUriCase: true, scheme: {exact: https}, method: {regex: 'P.*'},"
        " authority: {exact: a.b}, queryParams: {q: {exact: '1'}}, port: 80, sourceLabels: {b: x, a: y},"
        " sourceNamespace: shop, statPrefix: st"
    )

    assert found == Match(
        uri=StringMatch(MatchKind.PREFIX, "/a"),
        ignore_uri_case=True,
        scheme=exact("https"),
        method=StringMatch(MatchKind.REGEX, "P.*"),
        authority=exact("a.b"),
        query=(QueryMatch("q", exact("1")),),
        port=80,
        source_labels=(("a", "y"), ("b", "x")),
        source_namespace="shop",
        stat_prefix="st",
    )


def test_headers_are_sorted_by_name_with_those_that_must_not_be() -> None:
    found = made("headers: {b: {exact: x}, a: {}}, withoutHeaders: {aa: {exact: y}, b: {}}")

    assert found.headers == (
        HeaderMatch("a", PRESENT),
        HeaderMatch("aa", exact("y"), invert=True),
        HeaderMatch("b", exact("x")),
        HeaderMatch("b", PRESENT, invert=True),
    )


def test_query_parameter_without_a_value_must_be_present() -> None:
    assert made("queryParams: {q: {}}").query == (QueryMatch("q", PRESENT),)


def test_match_that_names_gateways_does_not_look_at_its_source() -> None:
    found = made("gateways: [mesh], sourceLabels: {a: b}, sourceNamespace: shop")

    assert (found.source_labels, found.source_namespace, found.gateways) == ((), "", ("mesh",))


def test_header_that_may_have_no_value_at_all_must_be_absent() -> None:
    (header,) = made('withoutHeaders: {a: {regex: "*"}}').headers

    assert header == HeaderMatch("a", StringMatch(MatchKind.PRESENT), invert=True)
