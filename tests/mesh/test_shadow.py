"""Which routes leave nothing for a later one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compiler.test_route_match import made
from xds_server.mesh.route import HeaderMatch, Match, MatchKind, StringMatch
from xds_server.mesh.shadow import Earlier, is_wider, merged

URIS = st.none() | st.builds(
    StringMatch, st.sampled_from(list(MatchKind)[:3]), st.sampled_from(["/", "/a", "/ab", ".*"])
)
HEADERS = st.sampled_from([(), (HeaderMatch("x", StringMatch(MatchKind.PRESENT)),)])
MATCHES = st.builds(Match, uri=URIS, ignore_uri_case=st.booleans(), headers=HEADERS)


def itself(match: Match) -> Match:
    return match


@given(st.lists(MATCHES, max_size=6), MATCHES)
def test_index_finds_what_comparing_with_every_route_would(earlier: list[Match], later: Match) -> None:
    index = Earlier(itself)
    for match in earlier:
        index.add(match)
    found = index.wider_than(later)

    assert (found is not None) == any(is_wider(match, later) for match in earlier)
    assert found is None or is_wider(found, later)


def test_first_of_several_wider_routes_is_named() -> None:
    index, first = Earlier(itself), Match(uri=StringMatch(MatchKind.PREFIX, "/a"))
    index.add(first)
    index.add(Match())

    assert index.wider_than(Match(uri=StringMatch(MatchKind.EXACT, "/ab"))) is first


def test_catch_alls_come_last_and_hide_what_stood_behind_them() -> None:
    first, behind, other = Match(), made("uri: {prefix: /a}"), made("uri: {prefix: /b}")

    assert merged([(first, behind), (other,)], itself) == ([other, first], [(behind, first)])


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("", "uri: {exact: /a}"),
        ("uri: {prefix: /}", "uri: {regex: '/a.*'}"),
        ("uri: {regex: '.*'}", "headers: {a: {exact: b}}"),
        ("uri: {prefix: /a}", "uri: {prefix: /a}"),
        ("uri: {prefix: /a}", "uri: {prefix: /ab}"),
        ("uri: {prefix: /a}", "uri: {exact: /ab}, method: {exact: GET}"),
        ("uri: {regex: '/a.'}", "uri: {regex: '/a.'}"),
        ("uri: {prefix: /A}, ignoreUriCase: true", "uri: {exact: /ab}"),
        ("uri: {prefix: /A}, ignoreUriCase: true", "uri: {exact: /aB}, ignoreUriCase: true"),
        ("headers: {a: {}}", "headers: {a: {exact: b}, c: {}}"),
        ("headers: {X-A: {prefix: b}}", "headers: {x-a: {exact: bc}}"),
        ("withoutHeaders: {a: {exact: b}}", "withoutHeaders: {a: {exact: b}}, port: 80"),
        ("queryParams: {q: {}}", "queryParams: {q: {exact: '1'}}"),
        ("port: 80", "port: 80, sourceNamespace: shop"),
        ("sourceLabels: {a: b}", "sourceLabels: {a: b, c: d}"),
        ("sourceNamespace: shop", "sourceNamespace: shop, uri: {exact: /a}"),
    ],
)
def test_wider_match_takes_every_request_of_the_other(wide: str, narrow: str) -> None:
    assert is_wider(made(wide), made(narrow))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("uri: {exact: /a}", "uri: {prefix: /a}"),
        ("uri: {exact: /}", "uri: {exact: /a}"),
        ("uri: {prefix: /a}", ""),
        ("uri: {prefix: /a}", "uri: {exact: /A}"),
        ("uri: {prefix: /a}", "uri: {exact: /a}, ignoreUriCase: true"),
        ("uri: {regex: '/a.*'}", "uri: {exact: /a}"),
        ("method: {exact: GET}", ""),
        ("authority: {exact: a.b}", "authority: {exact: a.c}"),
        ("scheme: {exact: http}", "scheme: {prefix: http}"),
        ("headers: {a: {exact: b}}", "headers: {a: {}}"),
        ("headers: {a: {}}", "withoutHeaders: {a: {}}"),
        ("withoutHeaders: {a: {exact: b}}", "withoutHeaders: {a: {exact: c}}"),
        ("queryParams: {q: {exact: '1'}}", "queryParams: {p: {exact: '1'}}"),
        ("port: 80", "port: 81"),
        ("port: 80", ""),
        ("sourceLabels: {a: b}", ""),
        ("sourceNamespace: shop", "sourceNamespace: bank"),
    ],
)
def test_match_that_may_leave_a_request_is_not_wider(one: str, other: str) -> None:
    assert not is_wider(made(one), made(other))
