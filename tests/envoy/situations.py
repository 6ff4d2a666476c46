"""Policies and what is sent through them, made up by hypothesis.

They have few words, so that they often meet, nearly meet, or differ by a letter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type import v3 as type_v3
from envoy_data_plane.envoy.type.matcher import v3 as matcher_v3
from hypothesis import strategies as st

from tests.envoy.running import free_port
from tests.envoy.witness import Case
from xds_server.bootstrap import NodeOptions
from xds_server.explain.traffic import HTTP_1, Connection, Request
from xds_server.mesh.proxy_settings import PathNormalization
from xds_server.mesh.workload import Interception, NodeType

Fields = dict[str, Any]

OWN_IP = "10.7.9.9"
HOSTS = ("a.test", "b.a.test", "c.test", "*.a.test", "*.test")
NAMES = ("a.test", "A.Test", "b.a.test", "x.a.test", "x.b.a.test", "c.test", "xc.test", "other.net", "10.7.0.1")
CAPTURED_PORTS = (80, 8080, 443, 9000)
CAPTURED_ADDRESSES = ("10.7.0.1", "10.7.0.2", "10.7.1.5", "10.7.1.77", "192.0.2.7")
PATHS = (
    "/", "/a", "/a/", "/a/b", "/A/b", "/ab", "/a/b/c", "/a/../b", "/./a", "/a%2Fb", "/%61", "/a//b", "/a%7e", "/a/..",
    "/a;b", "/a%20b",
)  # fmt: skip
PATH_PATTERNS = ("/a.*", "/(a|b)", ".*b", "(?i)/A/.*", "/a/[^/]+", "/.*")
HEADERS = ("x-one", "X-Two", "cookie")
VALUES = ("", "1", "12", "one", "ONE", "one,1")
VALUE_PATTERNS = ("[0-9]+", "on.", "one|1", ".*1", "")
QUERIES = ("", "?q=1", "?q=12&r=one", "?r", "?q=&q=1", "?Q=1", "?q=%31")
MESH_ALPN = (("istio-http/1.1", "istio"), ("istio-h2",), ("istio",), ("http/1.1",), ("h2", "http/1.1"), ())
CASES = 40
"""For each set of policies."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Policies, a proxy that they are for, and what is sent to it."""

    policies: str
    node: NodeOptions
    cases: tuple[Case, ...]


def _text(patterns: tuple[str, ...], words: tuple[str, ...]) -> st.SearchStrategy[Fields]:
    return st.one_of(
        st.sampled_from([word for word in words if word]).map(lambda word: {"exact": word}),
        st.sampled_from([word for word in words if word]).map(lambda word: {"prefix": word}),
        st.sampled_from([pattern for pattern in patterns if pattern]).map(lambda pattern: {"regex": pattern}),
    )


_value = _text(VALUE_PATTERNS, VALUES)
_value_or_presence: st.SearchStrategy[Fields] = st.one_of(_value, st.just({}))
_sometimes = st.integers(0, 3).map(lambda drawn: drawn == 0)


@st.composite
def _match(draw: st.DrawFn, ports: tuple[int, ...]) -> Fields:
    conditions: dict[str, st.SearchStrategy[Any]] = {
        "uri": _text(PATH_PATTERNS, tuple(path.partition("%")[0] for path in PATHS)),
        "headers": st.dictionaries(
            st.sampled_from(("x-one", "x-two", "cookie")), _value_or_presence, min_size=1, max_size=2
        ),
        "withoutHeaders": st.dictionaries(
            st.sampled_from(("x-one", "x-two")), _value_or_presence, min_size=1, max_size=1
        ),
        "queryParams": st.dictionaries(st.sampled_from(("q", "r")), _value, min_size=1, max_size=2),
        "method": st.sampled_from(("GET", "POST")).map(lambda method: {"exact": method}),
        "authority": _text(("[a-c].*", ".*:[0-9]+"), ("a.test", "b", "c.test")),
        "scheme": st.sampled_from(("http", "https")).map(lambda scheme: {"exact": scheme}),
        "port": st.sampled_from(ports),
        "sourceLabels": st.sampled_from(({"app": "caller"}, {"app": "other"})),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(conditions)), unique=True, min_size=1, max_size=3))
    match = {name: draw(conditions[name]) for name in chosen}
    if "uri" in match and draw(_sometimes):
        match["ignoreUriCase"] = True
    return match


def _destination(draw: st.DrawFn, hosts: list[str], ports: tuple[int, ...]) -> Fields:
    destination: Fields = {"host": draw(st.sampled_from(hosts)), "port": {"number": draw(st.sampled_from(ports))}}
    if draw(st.booleans()):
        destination["subset"] = draw(st.sampled_from(("v1", "v2")))
    return {"destination": destination}


@st.composite
def _http(draw: st.DrawFn, hosts: list[str], ports: tuple[int, ...], number: int, at: tuple[int, ...] = ()) -> Fields:
    """One rule to `ports` of `hosts`, for requests that come in `at` some."""
    rule: Fields = {"name": f"rule{number}"}
    if draw(st.integers(0, 4)):
        matches = draw(st.lists(_match(at or ports), min_size=1, max_size=2))
        rule["match"] = [{"name": f"m{place}", **match} for place, match in enumerate(matches)]
    kind = draw(st.sampled_from(("one", "one", "weighted", "redirect", "respond", "rewrite", "mirror")))
    if kind == "redirect":
        return rule | {"redirect": {"uri": "/moved", "redirectCode": draw(st.sampled_from((301, 302, 307)))}}
    if kind == "respond":
        return rule | {"directResponse": {"status": draw(st.sampled_from((200, 403, 503)))}}
    first = _destination(draw, hosts, ports)
    rule["route"] = [first]
    if kind == "weighted":
        weights = draw(st.sampled_from(((50, 50), (100, 0), (1, 99))))
        rule["route"] = [first | {"weight": weights[0]}, _destination(draw, hosts, ports) | {"weight": weights[1]}]
    elif kind == "rewrite":
        rule["rewrite"] = {"uri": "/rewritten", "authority": "rewritten.test"}
    elif kind == "mirror":
        rule["mirrors"] = [_destination(draw, hosts, ports)]
    return rule


@st.composite
def _connections(draw: st.DrawFn, host: str, hosts: list[str], ports: tuple[int, ...]) -> Fields:
    """The tls and tcp rules of a VirtualService."""
    names = [host, *(name for name in ("b.a.test", "x.a.test", "c.test") if _under(name, host) and name != host)]
    found: Fields = {}
    if draw(st.booleans()):
        sni = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        found["tls"] = [{"match": [{"sniHosts": sni}], "route": [_destination(draw, hosts, ports)]}]
    if draw(st.booleans()):
        rule: Fields = {"route": [_destination(draw, hosts, ports)]}
        if draw(st.booleans()):
            rule["match"] = [
                {"destinationSubnets": [draw(st.sampled_from(("10.7.0.0/16", "10.7.1.0/24", "10.7.1.77")))]}
            ]
        found["tcp"] = [rule]
    return found


def _under(name: str, host: str) -> bool:
    return name.endswith(host[1:]) if host.startswith("*") else name == host


def _document(kind: str, name: str, spec: Fields, group: str = "networking.istio.io/v1") -> str:
    return json.dumps(
        {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}
    )


@st.composite
def _service(draw: st.DrawFn, host: str, ports: tuple[int, ...], addresses: tuple[str, ...]) -> str:
    numbers = draw(st.lists(st.sampled_from(ports), unique=True, min_size=2, max_size=3))
    wildcard = host.startswith("*")
    allowed = ("HTTP", "HTTP", "TLS", "TCP", "") if not wildcard else ("HTTP", "TLS")
    spec: Fields = {
        "hosts": [host],
        "ports": [{"number": n, "name": f"p{n}", "protocol": draw(st.sampled_from(allowed))} for n in numbers],
        "location": draw(st.sampled_from(("MESH_INTERNAL", "MESH_EXTERNAL"))),
        "resolution": "DYNAMIC_DNS" if wildcard else "STATIC",
    }
    if not wildcard:
        spec["endpoints"] = [
            {"address": "10.0.0.1", "labels": {"version": "v1"}},
            {"address": "10.0.0.2", "labels": {"version": "v2"}},
        ]
        spec["addresses"] = draw(st.lists(st.sampled_from(addresses), unique=True, max_size=2)) if addresses else []
    return _document("ServiceEntry", _name(host), spec)


_NOT_THERE_ANYWAY = frozenset(HOSTS).difference(("a.test", "c.test")).__contains__


def _name(host: str) -> str:
    return host.replace("*", "any").replace(".", "-")


@st.composite
def _mesh(draw: st.DrawFn, ports: tuple[int, ...], addresses: tuple[str, ...]) -> str:
    """Services and how they are routed."""
    hosts = [
        "a.test",
        "c.test",
        *draw(st.lists(st.sampled_from(HOSTS).filter(_NOT_THERE_ANYWAY), unique=True, min_size=1, max_size=2)),
    ]
    found = [draw(_service(host, ports, addresses)) for host in hosts]
    subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    found += [
        _document("DestinationRule", _name(host), {"host": host, "subsets": subsets})
        for host in hosts
        if host[0] != "*"
    ]
    reachable = [host for host in hosts if host[0] != "*"]
    for host in draw(st.lists(st.sampled_from(hosts), unique=True, min_size=2, max_size=3)):
        rules = [draw(_http(reachable, ports, number)) for number in range(draw(st.integers(2, 4)))]
        found.append(
            _document(
                "VirtualService",
                _name(host),
                {"hosts": [host], "http": rules} | draw(_connections(host, reachable, ports)),
            )
        )
    return "\n---\n".join(found)


@st.composite
def _request(draw: st.DrawFn, ports: tuple[int, ...], scheme: str) -> Request:
    authority = draw(st.sampled_from(NAMES))
    if draw(st.booleans()):
        authority += f":{draw(st.sampled_from(ports))}"
    headers = draw(st.lists(st.tuples(st.sampled_from(HEADERS), st.sampled_from(VALUES)), max_size=3))
    return Request(
        authority=authority,
        path=draw(st.sampled_from(PATHS)) + draw(st.sampled_from(QUERIES)),
        method=draw(st.sampled_from(("GET", "POST"))),
        scheme=scheme,
        headers=tuple(headers),
    )


@st.composite
def _case(
    draw: st.DrawFn, ports: tuple[int, ...], addresses: tuple[str, ...], by: int | None = None, alpn: bool = False
) -> Case:
    kind = draw(st.sampled_from(("http", "http", "http", "http", "tls", "bytes")))
    offers = draw(st.sampled_from(MESH_ALPN if alpn else ((), ("h2", "http/1.1")))) if kind == "tls" else ()
    connection = Connection(
        address=draw(st.sampled_from(addresses)),
        port=draw(st.sampled_from(ports)),
        captured_by=by,
        source=draw(st.sampled_from(("10.7.5.5", OWN_IP))) if by else "127.0.0.1",
        source_port=draw(st.integers(1024, 65535)) if by else 0,
        tls=kind == "tls",
        server_name=draw(st.sampled_from(("", *NAMES[:-1]))) if kind == "tls" else "",
        alpn=offers,
        http=HTTP_1 if kind == "http" else "",
    )
    return Case(connection, None if kind == "bytes" else draw(_request(ports, "https" if kind == "tls" else "http")))


def _cases(case: st.SearchStrategy[Case]) -> st.SearchStrategy[tuple[Case, ...]]:
    return st.lists(case, min_size=CASES, max_size=CASES).map(tuple)


@st.composite
def _mesh_wide(draw: st.DrawFn) -> str:
    """What becomes of unknown destinations, and of paths."""
    spec = {
        "outboundTrafficPolicy": {"mode": draw(st.sampled_from(("ALLOW_ANY", "REGISTRY_ONLY")))},
        "pathNormalization": {"normalization": draw(st.sampled_from([each.value for each in PathNormalization]))},
    }
    return _document("MeshConfig", "mesh", spec, "mesh.istio.io/v1alpha1")


@st.composite
def captured_outbound(draw: st.DrawFn) -> Situation:
    """A sidecar whose application's calls are captured."""
    ports, virtual = CAPTURED_PORTS, ("10.7.0.1", "10.7.0.2", "10.7.1.0/24", "10.7.0.0/16")
    policies = f"{draw(_mesh(ports, virtual))}\n---\n{draw(_mesh_wide())}"
    node = NodeOptions(name="caller", ip=OWN_IP, labels={"app": "caller"}, interception=Interception.REDIRECT)
    return Situation(policies, node, draw(_cases(_case(ports, CAPTURED_ADDRESSES, 15001))))


@st.composite
def captured_inbound(draw: st.DrawFn) -> Situation:
    """A sidecar whose application's callers are captured."""
    protocols = draw(st.tuples(*[st.sampled_from(("HTTP", "TCP", "", "GRPC", "TLS"))] * 3))
    listed = [
        {"number": 80 + n, "name": f"p{n}", "protocol": each, "targetPort": 8080 + n}
        for n, each in enumerate(protocols)
    ]
    service = {
        "hosts": ["own.test"],
        "ports": listed,
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "endpoints": [{"address": OWN_IP}],
    }
    mode, ports = draw(st.sampled_from(("DISABLE", "PERMISSIVE", "STRICT"))), (8080, 8081, 8082, 9999)
    peers = _document("PeerAuthentication", "default", {"mtls": {"mode": mode}}, "security.istio.io/v1")
    node = NodeOptions(name="caller", ip=OWN_IP, interception=Interception.REDIRECT)
    policies = f"{_document('ServiceEntry', 'own', service)}\n---\n{peers}"
    return Situation(policies, node, draw(_cases(_case(ports, (OWN_IP,), 15006, alpn=True))))


@st.composite
def bound(draw: st.DrawFn, ports: tuple[int, ...], proxy_port: int) -> Situation:
    """A sidecar that binds its listeners itself, and is an HTTP proxy besides."""
    policies = draw(_mesh((80, *ports), ("127.0.0.2", "127.0.0.3", "10.7.0.1")))
    node = NodeOptions(
        name="caller", ip=OWN_IP, labels={"app": "caller"}, interception=Interception.NONE, http_proxy_port=proxy_port
    )
    to = _case((*ports, proxy_port, proxy_port), ("127.0.0.1",) * 5 + ("127.0.0.2",))
    return Situation(policies, node, draw(_cases(to)))


_SERVER_TLS: dict[str, Fields] = {
    "HTTPS": {"mode": "SIMPLE", "serverCertificate": "/etc/a.crt", "privateKey": "/etc/a.key"},
    "TLS": {"mode": "PASSTHROUGH"},
    "HTTP": {"httpsRedirect": True},
    "TCP": {},
}


@st.composite
def router(draw: st.DrawFn, ports: tuple[int, ...]) -> Situation:
    """A router with plain, TLS and passed-on ports."""
    policies = [draw(_mesh((80, 443), ()))]
    servers = []
    for port in ports:
        kind = draw(st.sampled_from(("HTTP", "HTTP", "HTTPS", "TLS", "TCP")))
        tls = _SERVER_TLS[kind] if kind != "HTTP" or draw(_sometimes) else {}
        hosts = [
            "*.test",
            *draw(st.lists(st.sampled_from(("a.test", "b.a.test", "*.a.test")), unique=True, max_size=2)),
        ]
        servers.append(
            {"port": {"number": port, "name": f"p{port}", "protocol": kind}, "hosts": hosts}
            | ({"tls": tls} if tls else {})
        )
    policies.append(_document("Gateway", "edge", {"selector": {"app": "caller"}, "servers": servers}))
    for number, host in enumerate(draw(st.lists(st.sampled_from(HOSTS), unique=True, min_size=1, max_size=3))):
        rules = [draw(_http(["a.test", "c.test"], (80, 443), 10 * number + place, ports)) for place in range(3)]
        spec = {"hosts": [host], "gateways": ["edge"], "http": rules} | draw(
            _connections(host, ["a.test", "c.test"], (80, 443))
        )
        policies.append(_document("VirtualService", f"edge-{_name(host)}", spec))
    node = NodeOptions(name="edge", ip=OWN_IP, labels={"app": "caller"}, node_type=NodeType.ROUTER)
    return Situation("\n---\n".join(policies), node, draw(_cases(_case(ports, ("127.0.0.1",)))))


def situations() -> tuple[st.SearchStrategy[Situation], ...]:
    """Of every kind; those that bind share a few free ports."""
    bound_ports, gateway_ports = tuple(free_port() for _ in range(3)), tuple(free_port() for _ in range(3))
    return captured_outbound(), captured_inbound(), bound(bound_ports, free_port()), router(gateway_ports)


_Matcher = matcher_v3.StringMatcher
_strings: st.SearchStrategy[matcher_v3.StringMatcher] = st.one_of(
    st.builds(
        lambda how, word, ignore_case: _Matcher(**{how: word}, ignore_case=ignore_case),
        st.sampled_from(("exact", "prefix", "suffix", "contains")),
        st.sampled_from(("1", "one", "ONE", "ne", "12")),
        st.booleans(),
    ),
    st.sampled_from(VALUE_PATTERNS[:-1]).map(lambda text: _Matcher(safe_regex=matcher_v3.RegexMatcher(regex=text))),
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
    request = _request((80, 8080), "http")
    return draw(_cases(request.map(lambda found: Case(Connection("127.0.0.1", port, http=HTTP_1), found))))
