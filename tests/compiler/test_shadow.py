"""Which routes leave nothing for a later one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import backend, document, istio, route
from xds_server.compiler.finding import Place
from xds_server.compiler.http_route import Bound
from xds_server.compiler.route_match import is_wider
from xds_server.compiler.shadow import Earlier
from xds_server.mesh.route import HeaderMatch, Match, MatchKind, StringMatch

PLACE = Place(document(istio("VirtualService", "hosts: [a], http: [{route: [{destination: {host: a}}]}]")))
TO = backend()
URIS = st.none() | st.builds(
    StringMatch, st.sampled_from(list(MatchKind)[:3]), st.sampled_from(["/", "/a", "/ab", ".*"])
)
HEADERS = st.sampled_from([(), (HeaderMatch("x", StringMatch(MatchKind.PRESENT)),)])
MATCHES = st.builds(Match, uri=URIS, ignore_uri_case=st.booleans(), headers=HEADERS)


def bound(match: Match) -> Bound:
    return Bound(route(TO, match), PLACE)


@given(st.lists(MATCHES, max_size=6), MATCHES)
def test_index_finds_what_comparing_with_every_route_would(earlier: list[Match], later: Match) -> None:
    index = Earlier()
    for match in earlier:
        index.add(bound(match))
    found = index.wider_than(bound(later))

    assert (found is not None) == any(is_wider(match, later) for match in earlier)
    assert found is None or is_wider(found.route.match, later)


def test_first_of_several_wider_routes_is_named() -> None:
    index, first = Earlier(), bound(Match(uri=StringMatch(MatchKind.PREFIX, "/a")))
    index.add(first)
    index.add(bound(Match()))

    assert index.wider_than(bound(Match(uri=StringMatch(MatchKind.EXACT, "/ab")))) is first
