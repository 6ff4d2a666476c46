"""Every listener and route that we can write is loaded by a real Envoy: types, values, and names that must resolve."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.builders import backend, destination, service, traffic_rule, virtual_host
from tests.envoy.static_form import complaints
from xds_server.mesh.route import (
    Backend,
    Cors,
    DirectResponse,
    Fault,
    HeaderMatch,
    HeaderOperations,
    Match,
    MatchKind,
    Mirror,
    QueryMatch,
    Redirect,
    Retry,
    Rewrite,
    Route,
    StringMatch,
)
from xds_server.mesh.service import Port, Protocol, Resolution, Service
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.mesh.traffic import ConnectionPool, HashCookie, HashKey, LoadBalancer, LoadBalancing, TrafficPolicy
from xds_server.mesh.view import InboundPort, View
from xds_server.mesh.virtual_host import VirtualHost
from xds_server.mesh.workload import Interception
from xds_server.problem import Origin
from xds_server.translate.translate import Translator
from xds_server.xds.snapshot import Snapshot

SECOND = timedelta(seconds=1)
PROTOCOLS = [protocol for protocol in Protocol if protocol is not Protocol.UDP]
ORIGIN = Origin("reviews.yaml", 1, "VirtualService", "default", "reviews")
EVERY_MATCH = tuple(StringMatch(kind, "" if kind is MatchKind.PRESENT else "/a") for kind in MatchKind)
EXACT, PREFIX, REGEX, _ = EVERY_MATCH
REVIEWS = backend("reviews", traffic_rule(v1={"version": "v1"}, v2={"version": "v2"}))
HEADERS = HeaderOperations(
    request_set=(("host", "other"), ("x-a", "1")),
    request_add=(("x-b", "2"),),
    request_remove=("x-c",),
    response_set=(("x-d", "3"),),
    response_add=(("x-e", "4"),),
    response_remove=("x-f",),
)
V1, V2 = destination(REVIEWS, subset="v1", weight=1), destination(REVIEWS, subset="v2", weight=3)
TO_V1 = Route(Match(), "rule", (V1,), origin=ORIGIN)
ANSWERED = Route(Match(), origin=ORIGIN)
ROUTES = {
    "everything in the match": replace(
        TO_V1,
        match=Match(
            uri=PREFIX,
            ignore_uri_case=True,
            scheme=EXACT,
            method=EXACT,
            authority=REGEX,
            headers=tuple(HeaderMatch(f"x-{n}", m, i) for i in (False, True) for n, m in enumerate(EVERY_MATCH)),
            query=tuple(QueryMatch(f"q{n}", match) for n, match in enumerate(EVERY_MATCH)),
            stat_prefix="reviews",
        ),
    ),
    "exact path": replace(TO_V1, match=Match(uri=EXACT)),
    "regex path": replace(TO_V1, match=Match(uri=REGEX), rewrite=Rewrite(regex=("^/a(.*)", r"/b\1"))),
    "weighted": replace(TO_V1, destinations=(replace(V1, headers=HEADERS), V2)),
    "headers": replace(TO_V1, headers=HEADERS, rewrite=Rewrite(uri="/b", authority="other")),
    "redirect": replace(ANSWERED, redirect=Redirect("/b", authority="c", scheme="https", port=8443, code=308)),
    "redirect prefix": replace(ANSWERED, redirect=Redirect(prefix_rewrite="/b", derive_port="FROM_REQUEST_PORT")),
    "direct response": replace(ANSWERED, direct_response=DirectResponse(418, b"x" * 5000)),
    "retries": replace(
        TO_V1,
        timeout=5 * SECOND,
        retry=Retry(3, SECOND, ("5xx",), (409, 429), backoff=SECOND / 10, remote_localities=True),
    ),
    "no retries": replace(TO_V1, retry=None),
    "faults": replace(TO_V1, fault=Fault(delay=SECOND, delay_percent=0.0001, abort_http_status=503, abort_percent=50)),
    "gRPC fault": replace(TO_V1, fault=Fault(abort_grpc_status=14, abort_percent=100)),
    "mirrors": replace(TO_V1, mirrors=(Mirror(V2.destination), Mirror(V1.destination, 12.5))),
    "cors": replace(
        TO_V1,
        cors=Cors((EXACT, REGEX), ("GET", "POST"), ("x-a",), ("x-b",), max_age=60 * SECOND, allow_credentials=True),
    ),
}
HASH_KEYS = {
    "header": HashKey(header="x-user"),
    "cookie": HashKey(cookie=HashCookie("session", "/", SECOND, (("SameSite", "Lax"),))),
    "source": HashKey(source_ip=True),
    "query": HashKey(query_parameter="user"),
}


def resources(view: View) -> Snapshot:
    snapshot = Snapshot.of(Translator().translate(view))
    snapshot.check()
    return snapshot


def assert_loads(view: View, binary: Path, directory: Path) -> None:
    snapshot = resources(view)
    found = [resource for named in snapshot.by_type.values() for resource in named.values()]
    assert not complaints(binary, directory, found)


def view_of(*hosts: VirtualHost, interception: Interception = Interception.REDIRECT, **options: object) -> View:
    backends = tuple(host.backend for host in hosts if host.backend is not None)
    return View(backends, hosts, interception=interception, **options)  # type: ignore[arg-type] # View's own fields


def test_routes_with_every_feature_load(envoy_binary: Path, tmp_path: Path) -> None:
    """Features meet in one RouteConfiguration, and none may make Envoy refuse the others."""
    host = virtual_host(REVIEWS, *ROUTES.values())

    assert_loads(view_of(host), envoy_binary, tmp_path)


def test_routes_of_consistent_hashing_load(envoy_binary: Path, tmp_path: Path) -> None:
    """Each hash key is another oneof of Envoy's."""
    rules = {n: traffic_rule(TrafficPolicy(LoadBalancer(LoadBalancing.RING_HASH, key))) for n, key in HASH_KEYS.items()}
    hosts = [virtual_host(backend(name, rule)) for name, rule in rules.items()]

    assert_loads(view_of(*hosts), envoy_binary, tmp_path)


@pytest.mark.parametrize("policy", OutboundPolicy, ids=str)
@pytest.mark.parametrize("interception", Interception, ids=str)
def test_listeners_of_every_protocol_load(
    interception: Interception, policy: OutboundPolicy, envoy_binary: Path, tmp_path: Path
) -> None:
    """Each protocol on a port of its own and all on one, by virtual IP, by range and by neither, in and out."""
    pool = ConnectionPool(tcp_idle_timeout=SECOND, max_connection_duration=SECOND)
    rule = traffic_rule(TrafficPolicy(LoadBalancer(LoadBalancing.RING_HASH, HashKey(source_ip=True)), pool))
    hosts = [
        virtual_host(Backend(_service(f"{name}-{protocol.lower() or 'auto'}", port, protocol, addresses), rule))
        for number, protocol in enumerate(PROTOCOLS)
        for name, port, addresses in (
            ("own", 2000 + number, ()),
            ("shared", 3000, ()),
            ("address", 3001, (f"10.1.0.{number}", f"127.0.1.{number}")),
            ("range", 3002, (f"10.{number}.0.0/16", "fd00::/8")),
        )
    ]
    endpoint = "127.0.0.1:9000" if interception is Interception.NONE else ""
    inbound = [
        InboundPort(7000 + n, protocol, "me", 80, default_endpoint=endpoint) for n, protocol in enumerate(PROTOCOLS)
    ]

    view = view_of(*hosts, inbound=tuple(inbound), interception=interception, outbound_policy=policy)

    proxy_port = 15080 if interception is Interception.NONE else 0
    assert_loads(replace(view, http_proxy_port=proxy_port), envoy_binary, tmp_path)


def test_unknown_names_looked_up_in_dns_load(envoy_binary: Path, tmp_path: Path) -> None:
    """A service of wildcard hosts shares the forward proxy's DNS cache, which Envoy wants to be told once."""
    wild = backend(service("*.example.com", port=8080, resolution=Resolution.DYNAMIC_DNS))

    view = view_of(virtual_host(wild), interception=Interception.NONE, http_proxy_port=15080)

    assert_loads(view, envoy_binary, tmp_path)


def _service(host: str, port: int, protocol: Protocol, addresses: tuple[str, ...]) -> Service:
    ports = (Port(port, "p", protocol),)
    return Service(host, "default", ports, Resolution.STATIC, service().endpoints, addresses)
