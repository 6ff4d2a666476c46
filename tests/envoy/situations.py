"""Policies and what is sent through them, made up by hypothesis.

They have few words, so that they often meet, nearly meet, or differ by a letter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.envoy.cases import Door, aims_at, cases, under
from tests.envoy.running import free_port
from tests.envoy.witness import Case
from tests.envoy.words import (
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
from xds_server.mesh.proxy_settings import PathNormalization
from xds_server.mesh.workload import Interception, NodeType


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


_KINDS = {"HTTP": ("http",), "GRPC": ("http",), "TLS": ("tls",), "TCP": ("tcp",), "": ("http", "tcp")}
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
    names = [host, *(name for name in ("b.a.test", "x.a.test", "c.test") if under(name, host) and name != host)]
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


def _document(kind: str, name: str, spec: Fields, group: str = "networking.istio.io/v1") -> str:
    return json.dumps(
        {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}
    )


@st.composite
def _service(draw: st.DrawFn, host: str, ports: tuple[int, ...], addresses: tuple[str, ...]) -> Fields:
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
    for host in draw(st.lists(st.sampled_from(hosts), unique=True, min_size=2, max_size=3)):
        rules = [draw(_http(reachable, ports, number)) for number in range(draw(st.integers(2, 4)))]
        routed.append({"hosts": [host], "http": rules} | draw(_connections(host, reachable, ports)))
    documents = (
        *(_document("ServiceEntry", _name(spec["hosts"][0]), spec) for spec in services),
        *(_document("DestinationRule", _name(host), {"host": host, "subsets": subsets}) for host in reachable),
        *(_document("VirtualService", _name(spec["hosts"][0]), spec) for spec in routed),
    )
    return Mesh(services, tuple(routed), documents)


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
    mesh = draw(_mesh(ports, virtual))
    aims = aims_at(mesh.virtual_services, mesh.doors(CAPTURED_ADDRESSES[-1]))
    node = NodeOptions(name="caller", ip=OWN_IP, labels={"app": "caller"}, interception=Interception.REDIRECT)
    return Situation(
        _together(*mesh.documents, draw(_mesh_wide())), node, draw(cases(ports, CAPTURED_ADDRESSES, aims, 15001))
    )


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
    policies = _together(_document("ServiceEntry", "own", service), peers)
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
    return Situation(_together(*mesh.documents), node, draw(to))


_SERVER_TLS: dict[str, Fields] = {
    "HTTPS": {"mode": "SIMPLE", "serverCertificate": "/etc/a.crt", "privateKey": "/etc/a.key"},
    "TLS": {"mode": "PASSTHROUGH"},
    "HTTP": {"httpsRedirect": True},
    "TCP": {},
}


@st.composite
def router(draw: st.DrawFn, ports: tuple[int, ...]) -> Situation:
    """A router with plain, TLS and passed-on ports."""
    mesh = draw(_mesh((80, 443), ()))
    servers: list[Fields] = []
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
    routed: list[Fields] = []
    for number, host in enumerate(draw(st.lists(st.sampled_from(HOSTS), unique=True, min_size=1, max_size=3))):
        rules = [draw(_http(["a.test", "c.test"], (80, 443), 10 * number + place, ports)) for place in range(3)]
        connections = draw(_connections(host, ["a.test", "c.test"], (80, 443)))
        routed.append({"hosts": [host], "gateways": ["edge"], "http": rules} | connections)
    policies = _together(
        *mesh.documents,
        _document("Gateway", "edge", {"selector": {"app": "caller"}, "servers": servers}),
        *(_document("VirtualService", f"edge-{_name(spec['hosts'][0])}", spec) for spec in routed),
    )
    doors = [
        Door("127.0.0.1", each["port"]["number"], each["port"]["protocol"].lower(), tuple(each["hosts"]))
        for each in servers
    ]
    node = NodeOptions(name="edge", ip=OWN_IP, labels={"app": "caller"}, node_type=NodeType.ROUTER)
    return Situation(policies, node, draw(cases(ports, ("127.0.0.1",), aims_at(routed, doors))))


def _together(*documents: str) -> str:
    return "\n---\n".join(documents)


def situations() -> tuple[st.SearchStrategy[Situation], ...]:
    """Of every kind; those that bind share a few free ports."""
    bound_ports, gateway_ports = tuple(free_port() for _ in range(3)), tuple(free_port() for _ in range(3))
    return captured_outbound(), captured_inbound(), bound(bound_ports, free_port()), router(gateway_ports)
