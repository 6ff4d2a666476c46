"""Policies and what is sent through them, made up by hypothesis.

They have few words, so that they often meet, nearly meet, or differ by a letter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.envoy.cases import Aim, Door, aims_at, cases, under
from tests.envoy.running import free_port
from tests.envoy.witness import Case
from tests.envoy.words import (
    ASKED_HEADERS,
    CAPTURED_ADDRESSES,
    CAPTURED_PORTS,
    HOSTS,
    OWN_IP,
    PATH_PATTERNS,
    PATHS,
    VALUE_PATTERNS,
    VALUES,
    Fields,
)
from xds_server.bootstrap import NodeOptions
from xds_server.mesh.proxy_settings import EscapedSlashes, ForwardedCert, PathNormalization, Underscores
from xds_server.mesh.workload import Interception, NodeType
from xds_server.translate.names import outbound_sni


@dataclass(frozen=True, slots=True)
class Situation:
    """Policies, a proxy that they are for, and what is sent to it."""

    policies: str
    node: NodeOptions
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Mesh:
    """Services, and how sidecars route to them.

    Attributes:
        services, virtual_services: specs.
        documents: these and others, as text.
    """

    services: tuple[Fields, ...]
    virtual_services: tuple[Fields, ...]
    documents: tuple[str, ...]

    def doors(self, elsewhere: str) -> tuple[Door, ...]:
        """Where a sidecar takes calls of the services: at their addresses, and else at `elsewhere`."""
        return tuple(
            Door(address, port["number"], kind, tuple(spec["hosts"]))
            for spec in self.services
            for port in spec["ports"]
            for kind in _KINDS[port["protocol"]]
            for address in [each.partition("/")[0] for each in spec.get("addresses") or [elsewhere]]
        )


_KINDS = {
    **dict.fromkeys(("HTTP", "HTTP2", "GRPC"), ("http",)),
    **dict.fromkeys(("TLS", "HTTPS"), ("tls",)),
    **dict.fromkeys(("TCP", "Mongo"), ("tcp",)),
    "": ("http", "tcp"),
}
"""What goes in by a port of each protocol."""


def _text(patterns: tuple[str, ...], words: tuple[str, ...]) -> st.SearchStrategy[Fields]:
    return st.one_of(
        st.sampled_from([word for word in words if word]).map(lambda word: {"exact": word}),
        st.sampled_from([word for word in words if word]).map(lambda word: {"prefix": word}),
        st.sampled_from([pattern for pattern in patterns if pattern]).map(lambda pattern: {"regex": pattern}),
    )


_value = _text(VALUE_PATTERNS, VALUES)
_value_or_presence: st.SearchStrategy[Fields] = st.one_of(_value, st.just({}))
_sometimes = st.integers(0, 3).map(lambda drawn: drawn == 3)


@st.composite
def _match(draw: st.DrawFn, ports: tuple[int, ...]) -> Fields:
    conditions: dict[str, st.SearchStrategy[Any]] = {
        "uri": _text(PATH_PATTERNS, tuple(path.partition("%")[0] for path in PATHS)),
        "headers": st.dictionaries(st.sampled_from(ASKED_HEADERS), _value_or_presence, min_size=1, max_size=2),
        "withoutHeaders": st.dictionaries(st.sampled_from(ASKED_HEADERS), _value_or_presence, min_size=1, max_size=1),
        "queryParams": st.dictionaries(st.sampled_from(("q", "r")), _value_or_presence, min_size=1, max_size=2),
        "method": st.sampled_from(({"exact": "GET"}, {"exact": "POST"}, {"prefix": "P"}, {"regex": "GET|POST"})),
        "authority": _text(("[a-c].*", ".*:[0-9]+"), ("a.test", "b", "c.test")),
        "scheme": st.sampled_from(("http", "https")).map(lambda scheme: {"exact": scheme}),
        "port": st.sampled_from(ports),
        "sourceLabels": st.sampled_from(({"app": "caller"}, {"app": "other"})),
        "sourceNamespace": st.sampled_from(("default", "default", "other")),
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
def _connections(
    draw: st.DrawFn, host: str, hosts: list[str], ports: tuple[int, ...], at: tuple[int, ...] = ()
) -> Fields:
    """The tls and tcp rules of a VirtualService."""
    names = [host, *(name for name in ("b.a.test", "x.a.test", "c.test") if under(name, host) and name != host)]
    found: Fields = {}
    if draw(st.booleans()):
        sni = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        rules = [{"match": [{"sniHosts": sni} | draw(_caller(at or ports))], "route": draw(_split(hosts, ports))}]
        found["tls"] = [*rules, {"match": [{"sniHosts": names[:1]}], "route": draw(_split(hosts, ports))}]
    if draw(st.booleans()):
        subnets = draw(st.sampled_from(("10.7.0.0/16", "10.7.1.0/24", "10.7.1.77", "127.0.0.0/8")))
        asked = draw(st.sampled_from(({}, {"destinationSubnets": [subnets]}))) | draw(_caller(at or ports))
        rule: Fields = {"route": draw(_split(hosts, ports))} | ({"match": [asked]} if asked else {})
        found["tcp"] = [rule, {"route": draw(_split(hosts, ports))}] if asked else [rule]
    return found


@st.composite
def _caller(draw: st.DrawFn, ports: tuple[int, ...]) -> Fields:
    """What a rule for connections may ask besides; most ask nothing."""
    return draw(
        st.sampled_from(
            ({}, {}, {}, {"sourceLabels": {"app": "caller"}}, {"sourceLabels": {"app": "other"}},
             {"port": ports[0]}, {"port": ports[-1]}, {"sourceNamespace": "default"}, {"sourceNamespace": "other"})
        )
    )  # fmt: skip


@st.composite
def _split(draw: st.DrawFn, hosts: list[str], ports: tuple[int, ...]) -> list[Fields]:
    """One destination, or two with weights."""
    first = _destination(draw, hosts, ports)
    if draw(_sometimes):
        return [first | {"weight": 30}, _destination(draw, hosts, ports) | {"weight": 70}]
    return [first]


def _document(kind: str, name: str, spec: Fields, group: str = "networking.istio.io/v1") -> str:
    return json.dumps(
        {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}
    )


_RESOLUTIONS = ("DNS", "DNS_ROUND_ROBIN", "NONE")


@st.composite
def _service(draw: st.DrawFn, host: str, ports: tuple[int, ...], addresses: tuple[str, ...]) -> Fields:
    numbers = draw(st.lists(st.sampled_from(ports), unique=True, min_size=2, max_size=3))
    wildcard = host.startswith("*")
    allowed = ("HTTP", "HTTP", "TLS", "TCP", "", "GRPC", "HTTP2", "HTTPS", "Mongo") if not wildcard else ("HTTP", "TLS")
    how = draw(st.sampled_from(("DYNAMIC_DNS", "NONE") if wildcard else ("STATIC",) * 4 + _RESOLUTIONS))
    spec: Fields = {
        "hosts": [host],
        "ports": [{"number": n, "name": f"p{n}", "protocol": draw(st.sampled_from(allowed))} for n in numbers],
        "location": draw(st.sampled_from(("MESH_INTERNAL", "MESH_EXTERNAL"))),
        "resolution": how,
    }
    if how in {"STATIC", "DNS"}:
        spec["endpoints"] = [
            {"address": "10.0.0.1", "labels": {"version": "v1"}},
            {"address": "10.0.0.2", "labels": {"version": "v2"}},
        ]
    if how == "DNS_ROUND_ROBIN":
        spec["endpoints"] = [{"address": "10.0.0.1", "labels": {"version": "v1"}}]
    if not wildcard:
        free = [each for each in addresses if "/" not in each or how in {"STATIC", "NONE"}]
        spec["addresses"] = draw(st.lists(st.sampled_from(free), unique=True, max_size=2)) if free else []
    return spec


_NOT_THERE_ANYWAY = frozenset(HOSTS).difference(("a.test", "c.test")).__contains__


def _name(host: str) -> str:
    return host.replace("*", "any").replace(".", "-")


@st.composite
def _mesh(draw: st.DrawFn, ports: tuple[int, ...], addresses: tuple[str, ...]) -> Mesh:
    hosts = [
        "a.test",
        "c.test",
        *draw(st.lists(st.sampled_from(HOSTS).filter(_NOT_THERE_ANYWAY), unique=True, min_size=1, max_size=2)),
    ]
    services = tuple(draw(_service(host, ports, addresses)) for host in hosts)
    subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    reachable = [host for host in hosts if host[0] != "*"]
    routed: list[Fields] = []
    for host in draw(st.lists(st.sampled_from(hosts), min_size=2, max_size=3)):
        first = 10 * len(routed)
        rules = [draw(_http(reachable, ports, first + number)) for number in range(draw(st.integers(2, 4)))]
        routed.append({"hosts": [host], "http": rules} | draw(_connections(host, reachable, ports)))
    child = [draw(_http(reachable, ports, 90 + number)) for number in range(2)]
    root = {"name": "rule99", "match": [{"uri": {"prefix": "/a"}}], "delegate": {"name": "child"}}
    routed[0]["http"].insert(0, root)
    policy = draw(st.sampled_from(({}, {}, {"tunnel": _TUNNEL}, {"loadBalancer": {"simple": "PASSTHROUGH"}})))
    documents = (
        *(_document("ServiceEntry", _name(spec["hosts"][0]), spec) for spec in services),
        *(_document("DestinationRule", _name(host), {"host": host, "subsets": subsets}) for host in reachable),
        *(_document("VirtualService", f"{_name(spec['hosts'][0])}-{n}", spec) for n, spec in enumerate(routed)),
        _document("VirtualService", "child", {"http": child}),
        *([_document("DestinationRule", "all", {"host": "a.test", "trafficPolicy": policy})] if policy else []),
    )
    return Mesh(
        services, (*routed, {"hosts": routed[0]["hosts"], "http": [_narrowed(rule) for rule in child]}), documents
    )


_TUNNEL = {"targetHost": "tunnel.test", "targetPort": 443}


def _narrowed(rule: Fields) -> Fields:
    """A delegate's rule as its root lets it through, near enough to aim at."""
    return rule | {"match": [{"uri": {"prefix": "/a"}} | match for match in rule.get("match", [{}])]}


@st.composite
def _mesh_wide(draw: st.DrawFn) -> str:
    """What becomes of unknown destinations, of paths and of headers."""
    limits = {
        "httpMergeSlashes": st.booleans(),
        "httpPathWithEscapedSlashesAction": st.sampled_from([each.value for each in EscapedSlashes]),
        "httpHeadersWithUnderscoresAction": st.sampled_from(
            [f"HEADERS_WITH_UNDERSCORES_{each.value}" for each in Underscores]
        ),
        "profile": st.just("EDGE"),
    }
    headers = {
        "requestId": st.just({"disabled": True}),
        "forwardedClientCert": st.sampled_from([each.value for each in ForwardedCert]),
        "attemptCount": st.just({"disabled": True}),
        "preserveHttp1HeaderCase": st.just(True),
        "xForwardedPort": st.just({"enabled": True}),
        "envoyDebugHeaders": st.just({"disabled": True}),
    }
    topology = {
        "numTrustedProxies": st.integers(0, 2),
        "forwardClientCertDetails": st.sampled_from([each.value for each in ForwardedCert]),
    }
    spec = {
        "outboundTrafficPolicy": {"mode": draw(st.sampled_from(("ALLOW_ANY", "REGISTRY_ONLY")))},
        "inboundTrafficPolicy": {"mode": draw(st.sampled_from(("PASSTHROUGH", "LOCALHOST")))},
        "pathNormalization": {"normalization": draw(st.sampled_from([each.value for each in PathNormalization]))},
        "defaultConfig": {
            "connectionSettings": draw(_some(limits)),
            "proxyHeaders": draw(_some(headers)),
            "gatewayTopology": draw(_some(topology)),
        },
    }
    return _document("MeshConfig", "mesh", spec, "mesh.istio.io/v1alpha1")


@st.composite
def _some(draw: st.DrawFn, of: dict[str, st.SearchStrategy[Any]]) -> Fields:
    """One field or two of these, or none."""
    names = draw(st.lists(st.sampled_from(sorted(of)), unique=True, max_size=2))
    return {name: draw(of[name]) for name in names}


@st.composite
def _egress(draw: st.DrawFn, ports: tuple[int, ...], binds: tuple[str, ...]) -> str:
    """A Sidecar that has listeners of its own, or narrows what is seen; or none."""
    protocol = st.sampled_from(("HTTP", "TCP", "TLS"))
    listeners = [
        {
            "port": {"number": number, "protocol": draw(protocol), "name": f"e{number}"},
            "hosts": draw(_SEEN),
            **({"bind": draw(st.sampled_from(binds))} if draw(st.booleans()) else {}),
        }
        for number in draw(st.lists(st.sampled_from(ports), unique=True, max_size=2))
    ]
    spec: Fields = {"egress": [*listeners, {"hosts": draw(_SEEN)}]}
    if draw(st.booleans()):
        proxy = {"egressProxy": {"host": "c.test", "port": {"number": ports[0]}}}
        spec["outboundTrafficPolicy"] = draw(
            st.sampled_from(({"mode": "REGISTRY_ONLY"}, {"mode": "ALLOW_ANY"} | proxy))
        )
    return _document("Sidecar", "default", spec) if draw(st.booleans()) else ""


_SEEN = st.sampled_from((["*/*"], ["*/*"], ["./a.test", "./*.test"], ["*/c.test"]))


@st.composite
def captured_outbound(draw: st.DrawFn) -> Situation:
    """A sidecar whose application's calls are captured."""
    ports, virtual = CAPTURED_PORTS, ("10.7.0.1", "10.7.0.2", "10.7.1.0/24", "10.7.0.0/16")
    mesh = draw(_mesh(ports, virtual))
    aims = aims_at(mesh.virtual_services, mesh.doors(CAPTURED_ADDRESSES[-1]))
    node = NodeOptions(name="caller", ip=OWN_IP, labels={"app": "caller"}, interception=Interception.REDIRECT)
    policies = _together(*mesh.documents, draw(_mesh_wide()), draw(_egress(ports, ("10.7.0.1", "10.7.1.5"))))
    return Situation(policies, node, draw(cases(ports, CAPTURED_ADDRESSES, aims, 15001)))


_MODES = st.sampled_from(("DISABLE", "PERMISSIVE", "STRICT"))


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
    mode, ports = draw(_MODES), (8080, 8081, 8082, 9999)
    by_port = {str(port): {"mode": draw(_MODES)} for port in draw(st.lists(st.sampled_from(ports), max_size=2))}
    peers = _document("PeerAuthentication", "default", {"mtls": {"mode": mode}}, "security.istio.io/v1")
    if by_port:
        selector = {"matchLabels": {"app": "caller"}}
        spec = {"selector": selector, "mtls": {"mode": mode}, "portLevelMtls": by_port}
        peers = _together(peers, _document("PeerAuthentication", "own", spec, "security.istio.io/v1"))
    node = NodeOptions(name="caller", ip=OWN_IP, labels={"app": "caller"}, interception=Interception.REDIRECT)
    ingress = [
        {
            "port": {"number": number, "protocol": draw(st.sampled_from(("HTTP", "TCP", "TLS"))), "name": f"i{number}"},
            "defaultEndpoint": draw(st.sampled_from(("127.0.0.1:7000", "0.0.0.0:7001", "unix:///run/own", ""))),
        }
        for number in draw(st.lists(st.sampled_from(ports), unique=True, min_size=1, max_size=3))
    ]
    own = _document("Sidecar", "default", {"ingress": ingress}) if draw(_sometimes) else ""
    policies = _together(_document("ServiceEntry", "own", service), peers, draw(_mesh_wide()), own)
    return Situation(policies, node, draw(cases(ports, (OWN_IP,), by=15006, alpn=True)))


@st.composite
def bound(draw: st.DrawFn, ports: tuple[int, ...], proxy_port: int) -> Situation:
    """A sidecar that binds its listeners itself, and is an HTTP proxy besides."""
    mesh = draw(_mesh((80, *ports), ("127.0.0.2", "127.0.0.3", "10.7.0.1")))
    node = NodeOptions(
        name="caller", ip=OWN_IP, labels={"app": "caller"}, interception=Interception.NONE, http_proxy_port=proxy_port
    )
    own = [replace(door, address="127.0.0.1") for door in mesh.doors("127.0.0.1") if door.port in ports]
    by_proxy = [
        replace(door, address="127.0.0.1", port=proxy_port, says_port=door.port)
        for door in mesh.doors("127.0.0.1")
        if door.kind == "http"
    ]
    to = cases(
        (*ports, proxy_port, proxy_port),
        ("127.0.0.1",) * 5 + ("127.0.0.2",),
        aims_at(mesh.virtual_services, [*own, *by_proxy]),
    )
    policies = _together(*mesh.documents, draw(_mesh_wide()), draw(_egress(ports, ("127.0.0.1", "127.0.0.2"))))
    return Situation(policies, node, draw(to))


_CERTIFICATE = {"serverCertificate": "/etc/a.crt", "privateKey": "/etc/a.key"}
_CLIENTS = {"caCertificates": "/etc/ca.crt"}
_SERVERS: dict[str, tuple[str, Fields]] = {
    "http": ("HTTP", {}),
    "grpc": ("GRPC", {}),
    "redirect": ("HTTP", {"httpsRedirect": True}),
    "https": ("HTTPS", {"mode": "SIMPLE", **_CERTIFICATE}),
    "mutual": ("HTTPS", {"mode": "MUTUAL", **_CERTIFICATE, **_CLIENTS}),
    "optional": ("HTTPS", {"mode": "OPTIONAL_MUTUAL", **_CERTIFICATE, **_CLIENTS}),
    "mesh": ("HTTPS", {"mode": "ISTIO_MUTUAL"}),
    "https-passed": ("HTTPS", {"mode": "PASSTHROUGH"}),
    "tls": ("TLS", {"mode": "PASSTHROUGH"}),
    "tls-ended": ("TLS", {"mode": "SIMPLE", **_CERTIFICATE}),
    "by-name": ("TLS", {"mode": "AUTO_PASSTHROUGH"}),
    "tcp": ("TCP", {}),
}
"""What a server may be: its protocol and its TLS."""
_GOES_IN = dict.fromkeys(("http", "grpc", "redirect"), "http") | dict.fromkeys(
    ("https", "mutual", "optional", "mesh"), "https"
)
_GOES_IN |= {"https-passed": "tls", "tls": "tls", "tls-ended": "tcp-in-tls", "by-name": "by-name", "tcp": "tcp"}
_SHARED = (
    ("http",), ("http", "grpc"), ("redirect",), ("redirect",), ("https",), ("https", "tls"), ("mutual", "tls-ended"),
    ("tls",), ("by-name",), ("tcp",), ("mesh", "https-passed", "http"), ("optional", "tcp"), ("https", "by-name"),
)  # fmt: skip
"""Servers that stand on one port together."""


@st.composite
def _servers(draw: st.DrawFn, ports: tuple[int, ...]) -> list[tuple[str, Fields]]:
    """Servers with what each is."""
    found = []
    for port in ports:
        hosts = draw(st.permutations((["*.test"], ["a.test"], ["c.test", "./b.a.test"])))
        for kind, own_hosts in zip(draw(st.sampled_from(_SHARED)), hosts, strict=False):
            protocol, tls = _SERVERS[kind]
            own = {"number": port, "name": f"p{port}-{kind}", "protocol": protocol}
            open_to = ["*"] if draw(_sometimes) else own_hosts
            found.append((kind, {"port": own, "hosts": open_to} | ({"tls": tls} if tls else {})))
    return found


@st.composite
def router(draw: st.DrawFn, ports: tuple[int, ...]) -> Situation:
    """A router with plain, TLS and passed-on ports."""
    mesh = draw(_mesh((80, 443), ()))
    servers = draw(_servers(ports))
    routed: list[Fields] = []
    for number, host in enumerate(draw(st.lists(st.sampled_from(HOSTS), unique=True, min_size=1, max_size=3))):
        rules = [draw(_http(["a.test", "c.test"], (80, 443), 10 * number + place, ports)) for place in range(3)]
        connections = draw(_connections(host, ["a.test", "c.test"], (80, 443), ports))
        routed.append({"hosts": [host], "gateways": ["edge"], "http": rules} | connections)
    policies = _together(
        *mesh.documents,
        draw(_mesh_wide()),
        _document("Gateway", "edge", {"selector": {"app": "caller"}, "servers": [each for _, each in servers]}),
        *(_document("VirtualService", f"edge-{_name(spec['hosts'][0])}", spec) for spec in routed),
    )
    doors = [
        Door("127.0.0.1", each["port"]["number"], _GOES_IN[kind], tuple(h.rpartition("/")[2] for h in each["hosts"]))
        for kind, each in servers
    ]
    by_name = [
        Aim(door, (outbound_sni(port, subset, host),), {}, ("istio",))
        for door in doors
        if door.kind == "by-name"
        for port, subset, host in ((80, "", "a.test"), (443, "v1", "a.test"), (80, "v2", "c.test"))
    ]
    node = NodeOptions(name="edge", ip=OWN_IP, labels={"app": "caller"}, node_type=NodeType.ROUTER)
    return Situation(policies, node, draw(cases(ports, ("127.0.0.1",), (*aims_at(routed, doors), *by_name))))


def _together(*documents: str) -> str:
    return "\n---\n".join(filter(None, documents))


def situations() -> tuple[st.SearchStrategy[Situation], ...]:
    """Of every kind; those that bind share a few free ports."""
    bound_ports, gateway_ports = tuple(free_port() for _ in range(3)), tuple(free_port() for _ in range(3))
    return captured_outbound(), captured_inbound(), bound(bound_ports, free_port()), router(gateway_ports)
