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
    assert end["clusters"] == [{"name": "outbound|80||reviews", "weight": 1}]


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


@pytest.mark.parametrize(
    ("url", "header"),
    [("reviews", "a: b"), ("ftp://reviews/", "a: b"), ("http://reviews:x/", "a: b"), ("http://reviews/", "a")],
)
def test_what_is_no_request_is_refused(url: str, header: str) -> None:
    with pytest.raises(ConfigurationError):
        asked(url, "GET", [header])


def test_address_must_be_one() -> None:
    with pytest.raises(ConfigurationError, match="reviews"):
        explained(Snapshot(), Workload("web", "default"), asked("http://reviews/", "GET", []), "reviews")
