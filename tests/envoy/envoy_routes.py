"""Routes that nobody here writes, made up by hypothesis.

They ask all that Envoy can ask of a host, a path, a header or a parameter.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from hypothesis import strategies as st

from tests.envoy.cases import CASES, request
from tests.envoy.witness import Case
from tests.envoy.words import PATH_PATTERNS, PATHS, VALUE_PATTERNS, Fields
from xds_server.explain.traffic import HTTP_1, Connection

_Matcher = matcher_v3.StringMatcher
_strings: st.SearchStrategy[matcher_v3.StringMatcher] = st.one_of(
    st.builds(
        lambda how, word, ignore_case: _Matcher(**{how: word}, ignore_case=ignore_case),
        st.sampled_from(("exact", "prefix", "suffix", "contains")),
        st.sampled_from(("1", "one", "ONE", "ne", "12")),
        st.booleans(),
    ),
    st.sampled_from(VALUE_PATTERNS).map(lambda text: _Matcher(safe_regex=matcher_v3.RegexMatcher(regex=text))),
)
_headers: st.SearchStrategy[route_v3.HeaderMatcher] = st.builds(
    lambda name, asks, invert, missing: route_v3.HeaderMatcher(
        name=name, **asks, invert_match=invert, treat_missing_header_as_empty=missing
    ),
    st.sampled_from(("x-one", "x-two", ":method", "host")),
    st.one_of(
        _strings.map(lambda matcher: {"string_match": matcher}),
        st.booleans().map(lambda present: {"present_match": present}),
        st.just({"range_match": type_v3.Int64Range(start=1, end=12)}),
        st.just({}),
    ),
    st.booleans(),
    st.booleans(),
)
_parameters: st.SearchStrategy[route_v3.QueryParameterMatcher] = st.builds(
    lambda name, asks: route_v3.QueryParameterMatcher(name=name, **asks),
    st.sampled_from(("q", "r")),
    st.one_of(_strings.map(lambda matcher: {"string_match": matcher}), st.just({"present_match": True}), st.just({})),
)
_paths: st.SearchStrategy[Fields] = st.one_of(
    st.builds(lambda how, path: {how: path}, st.sampled_from(("path", "prefix")), st.sampled_from(PATHS[:6])),
    st.sampled_from(("/a", "/a/b", "/A")).map(lambda path: {"path_separated_prefix": path}),
    st.sampled_from(PATH_PATTERNS).map(lambda text: {"safe_regex": matcher_v3.RegexMatcher(regex=text)}),
    st.just({"prefix": "/"}),
)
_route_matches: st.SearchStrategy[route_v3.RouteMatch] = st.builds(
    lambda path, case, headers, parameters: route_v3.RouteMatch(
        **path, case_sensitive=case, headers=headers, query_parameters=parameters
    ),
    _paths,
    st.sampled_from((None, True, False)),
    st.lists(_headers, max_size=2),
    st.lists(_parameters, max_size=1),
)
DOMAINS = ("a.test", "*.a.test", "*.test", "*-x.test", "a.*", "x.a.*", "*", "c.test:80", "[fd00::1]")


@st.composite
def routes(draw: st.DrawFn) -> route_v3.RouteConfiguration:
    """Every way to match that Envoy has for hosts, paths, headers and parameters, more than this server writes."""
    hosts = [
        route_v3.VirtualHost(
            name=domain,
            domains=[domain],
            routes=[
                route_v3.Route(name=f"rule{n}", match=match, route=route_v3.RouteAction(cluster="a"))
                for n, match in enumerate(draw(st.lists(_route_matches, min_size=3, max_size=5)))
            ],
        )
        for domain in draw(st.lists(st.sampled_from(DOMAINS), unique=True, min_size=4, max_size=7))
    ]
    return route_v3.RouteConfiguration(
        name="own", virtual_hosts=hosts, ignore_port_in_host_matching=draw(st.booleans())
    )


@st.composite
def requests_to(draw: st.DrawFn, port: int) -> tuple[Case, ...]:
    """HTTP to one port of loopback."""
    found = request((80, 8080), "http").map(lambda each: Case(Connection("127.0.0.1", port, http=HTTP_1), each))
    return tuple(draw(st.lists(found, min_size=CASES, max_size=CASES)))
