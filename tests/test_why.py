"""From a URL to the line of the policy that sends it somewhere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import entry, istio, policy_set
from xds_server.errors import ConfigurationError
from xds_server.mesh.workload import Interception, NodeType, Workload
from xds_server.pipeline import Pipeline
from xds_server.why import asked, explained
from xds_server.xds.snapshot import Snapshot

RULES = (
    "hosts: [reviews], http: [{name: jason, match: [{headers: {end-user: {exact: jason}}}], "
    "route: [{destination: {host: reviews}}]}, {name: old, redirect: {uri: /new}}]"
)
POLICIES = entry() + istio("VirtualService", RULES, name="split")


def why(url: str, *headers: str, workload: Workload = Workload("web", "default"), policies: str = POLICIES) -> Any:
    pipeline = Pipeline()
    snapshot = pipeline.snapshot_for(pipeline.compile(policy_set(policies)), workload)
    return explained(snapshot, workload, asked(url, "GET", headers))


def test_route_is_told_with_the_line_that_it_is_written_in() -> None:
    found = why("http://reviews/a/../b?c", "End-User: jason")

    assert (found["listener"], found["virtual_host"], found["path"]) == ("0.0.0.0_80", "reviews:80", "/b?c")
    (end,) = found["ends"]
    assert (end["share"], end["route"], end["fate"]) == ("100 %", "jason", "forward")
    assert end["policies"] == ["test.yaml:7 VirtualService/default/split"]
    service = "test.yaml:2 ServiceEntry/default/reviews"
    assert end["clusters"] == [{"name": "outbound|80||reviews", "weight": 1, "policies": [service]}]
    assert "note" not in end


def test_answer_of_envoy_itself_has_a_status_and_no_clusters() -> None:
    (end,) = why("http://reviews/")["ends"]

    assert (end["route"], end["fate"], end["status"]) == ("old", "redirect", 301)
    assert "clusters" not in end


def test_route_that_nobody_wrote_is_the_services() -> None:
    (end,) = why("http://reviews/", policies=entry())["ends"]

    assert (end["route"], end["policies"]) == ("default", ["test.yaml:2 ServiceEntry/default/reviews"])


def test_proxy_that_captures_nothing_is_asked_as_a_forward_proxy() -> None:
    caller = Workload("web", "default", interception=Interception.NONE, http_proxy_port=15080)

    assert why("http://reviews/", workload=caller)["listener"] == "127.0.0.1_15080"


def test_router_is_asked_on_the_port_of_the_url() -> None:
    gateway = "servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}]"
    bound = istio("VirtualService", RULES.replace("hosts:", "gateways: [edge], hosts:"), name="split")
    router = Workload("edge", "default", node_type=NodeType.ROUTER)
    found = why(
        "http://reviews:8080/", workload=router, policies=entry() + istio("Gateway", gateway, name="edge") + bound
    )

    assert (found["routes"], found["ends"][0]["route"]) == ("http.8080", "old")


def test_tls_of_the_application_is_passed_on() -> None:
    (end,) = why("https://reviews/")["ends"]

    assert (end["fate"], end["clusters"][0]["name"]) == ("forward", "PassthroughCluster")


GATEWAY = (
    "servers: [{port: {number: 80, name: plain, protocol: HTTP}, hosts: [a.com], tls: {httpsRedirect: true}}, "
    "{port: {number: 8080, name: more, protocol: HTTP}, hosts: [a.com]}, "
    "{port: {number: 81, name: empty, protocol: HTTP}, hosts: [b.com]}, {port: {number: 443, name: https, "
    "protocol: HTTPS}, hosts: [a.com], tls: {mode: SIMPLE, serverCertificate: /a, privateKey: /b}}, "
    "{port: {number: 8443, name: tls, protocol: TLS}, hosts: [a.com], tls: {mode: PASSTHROUGH}}, "
    "{port: {number: 3306, name: db, protocol: TCP}, hosts: ['*']}]"
)
BOUND = (
    "hosts: [a.com], gateways: [edge], "
    "http: [{match: [{uri: {prefix: /v1}}], route: [{destination: {host: reviews}}]}], "
    "tls: [{match: [{sniHosts: [a.com]}], route: [{destination: {host: reviews, port: {number: 80}}}]}], "
    "tcp: [{match: [{port: 3306}], route: [{destination: {host: reviews, subset: lost}}]}]"
)


@pytest.mark.parametrize(
    ("url", "note"),
    [
        ("http://a.com/v1", "httpsRedirect"),
        ("http://a.com:8080/v1", ""),
        ("http://a.com:8080/v2", "no route of this host"),
        ("http://b.com:8080/v1", "no virtual host is for this host"),
        ("http://b.com:81/v1", "no VirtualService"),
        ("http://a.com:8080/%00", "refused for its path"),
        ("http://a.com:9/", "nobody listens on 127.0.0.1 port 9"),
        ("http://a.com:443/v1", "no filter chain"),
        ("https://a.com/v1", ""),
        ("https://b.com/v1", "server name"),
        ("https://a.com:8443/", ""),
        ("tcp://a.com:8080", "reads HTTP here"),
        ("tcp://db:3306", "BlackHoleCluster leads nowhere"),
    ],
)
def test_end_without_a_policy_has_a_note_that_says_why(url: str, note: str) -> None:
    router = Workload("edge", "default", node_type=NodeType.ROUTER)
    policies = entry() + istio("Gateway", GATEWAY, name="edge") + istio("VirtualService", BOUND, name="bound")
    (end,) = why(url, workload=router, policies=policies)["ends"]

    assert note in end.get("note", "")
    assert bool(note) == ("note" in end)


@pytest.mark.parametrize(
    ("mode", "note"), [("ALLOW_ANY", "ALLOW_ANY lets it through"), ("REGISTRY_ONLY", "is REGISTRY_ONLY")]
)
def test_host_of_no_service_is_told_what_the_policy_for_such_is(mode: str, note: str) -> None:
    sidecar = istio("Sidecar", f"outboundTrafficPolicy: {{mode: {mode}}}")
    (end,) = why("http://nobody/", policies=entry() + sidecar)["ends"]

    assert note in end["note"]


def test_forward_proxy_says_that_a_host_of_no_service_goes_by_dns() -> None:
    caller = Workload("web", "default", interception=Interception.NONE, http_proxy_port=15080)
    (end,) = why("http://nobody/", workload=caller)["ends"]

    assert "sends it where DNS says" in end["note"]


def test_bytes_of_a_sidecar_go_by_their_address() -> None:
    db = entry("db", "addresses: [10.9.9.9], ports: [{number: 3306, name: tcp, protocol: TCP}]")
    found = explained_at("tcp://db:3306", "10.9.9.9", db)

    assert (found["listener"], found["ends"][0]["clusters"][0]["name"]) == ("10.9.9.9_3306", "outbound|3306||db")
    assert "goes where it was going" in explained_at("tcp://db:3307", "10.9.9.9", db)["ends"][0]["note"]


def explained_at(url: str, address: str, policies: str) -> Any:
    pipeline, workload = Pipeline(), Workload("web", "default")
    snapshot = pipeline.snapshot_for(pipeline.compile(policy_set(policies)), workload)
    return explained(snapshot, workload, asked(url, "GET", ()), address)


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("tcp://db", "a: b"),
        ("http://[x/", "a: b"),
        ("reviews", "a: b"),
        ("ftp://reviews/", "a: b"),
        ("http://reviews:x/", "a: b"),
        ("http://reviews/", "a"),
    ],
)
def test_what_is_no_request_is_refused(url: str, header: str) -> None:
    with pytest.raises(ConfigurationError):
        asked(url, "GET", [header])


def test_address_must_be_one() -> None:
    with pytest.raises(ConfigurationError, match="reviews"):
        explained(Snapshot(), Workload("web", "default"), asked("http://reviews/", "GET", []), "reviews")
