"""Inbound listeners."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from tests.translate.chains import HTTP, chains, inspectors
from tests.translate.shown import shown
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS
from xds_server.mesh.security import MutualTls
from xds_server.mesh.service import Protocol
from xds_server.mesh.view import InboundPort
from xds_server.translate.inbound import BoundInbound, CapturedInbound, bound_inbound, captured_inbound, inbound_routes
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

WEB = InboundPort(8080, Protocol.HTTP, "web", 80)
ANY = list(HTTP)


def port(protocol: Protocol) -> InboundPort:
    return InboundPort(8080, protocol, "web", 80)


def own(port: InboundPort) -> list[tuple[dict[str, Any], str]]:
    """The chains of `port` itself: the first of `virtualInbound` guards the capture, the last two take all others."""
    return chains(captured_inbound(CapturedInbound((port,))))[1:-2]


def test_http_port_has_a_chain_that_routes_to_the_application() -> None:
    assert own(port(Protocol.HTTP)) == [({"destination_port": 8080}, "routes inbound|8080||")]


@pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.TLS, Protocol.HTTPS, Protocol.MYSQL])
def test_other_port_has_a_chain_that_passes_bytes_on(protocol: Protocol) -> None:
    assert own(port(protocol)) == [({"destination_port": 8080}, "inbound|8080||")]


def test_detected_port_has_one_of_each() -> None:
    assert own(port(Protocol.AUTO)) == [
        ({"destination_port": 8080, "application_protocols": ANY}, "routes inbound|8080||"),
        ({"destination_port": 8080}, "inbound|8080||"),
    ]


def test_port_that_no_policy_names_is_passed_to_where_it_was_going() -> None:
    assert chains(captured_inbound(CapturedInbound(())))[-2:] == [
        ({"application_protocols": ANY}, "routes InboundPassthroughCluster"),
        ({}, "InboundPassthroughCluster"),
    ]


def test_port_that_only_a_policy_names_is_passed_on_by_chains_of_its_own() -> None:
    assert own(InboundPort(9000, Protocol.AUTO, passed_on=True)) == [
        ({"destination_port": 9000, "application_protocols": ANY}, "routes InboundPassthroughCluster"),
        ({"destination_port": 9000}, "InboundPassthroughCluster"),
    ]


def test_connection_to_the_capturing_port_itself_is_closed() -> None:
    """Passed on, it would come back for ever."""
    assert chains(captured_inbound(CapturedInbound(())))[0] == ({"destination_port": 15006}, "BlackHoleCluster")


def test_declared_ports_are_not_looked_at() -> None:
    """A MySQL server speaks first: its client would wait for a greeting that waits for the client."""
    ports = (InboundPort(3306, Protocol.MYSQL), InboundPort(8080, Protocol.HTTP), InboundPort(9000, Protocol.AUTO))

    listener = shown(listener_v3.Listener.parse(captured_inbound(CapturedInbound(ports)).body))

    original_dst, http_inspector = listener["listener_filters"]
    rules = http_inspector["filter_disabled"]["or_match"]["rules"]
    assert original_dst["name"] == "envoy.filters.listener.original_dst"
    assert [rule["destination_port_range"]["start"] for rule in rules] == [3306, 8080]


def test_detection_never_times_out() -> None:
    listener = shown(listener_v3.Listener.parse(captured_inbound(CapturedInbound(())).body))

    assert (listener["listener_filters_timeout"], listener["continue_on_listener_filters_timeout"]) == ("0s", True)


def test_bound_port_has_a_listener_of_its_own() -> None:
    found = bound_inbound(BoundInbound(WEB, "127.0.0.1"))

    assert found.name == "127.0.0.1_8080"
    assert chains(found) == [({}, "routes inbound|8080||")]
    assert inspectors(found) == []


def test_bound_detected_port_looks_at_the_first_bytes() -> None:
    found = bound_inbound(BoundInbound(port(Protocol.AUTO), "127.0.0.1"))

    assert chains(found) == [({"application_protocols": ANY}, "routes inbound|8080||"), ({}, "inbound|8080||")]
    assert inspectors(found) == ["http_inspector"]


def test_listener_needs_the_clusters_it_sends_to() -> None:
    assert captured_inbound(CapturedInbound((WEB,))).refs == (
        (type_url.CLUSTER, "BlackHoleCluster"),
        (type_url.CLUSTER, "InboundPassthroughCluster"),
        (type_url.CLUSTER, "inbound|8080||"),
    )
    assert bound_inbound(BoundInbound(WEB, "127.0.0.1")).refs == ((type_url.CLUSTER, "inbound|8080||"),)


def test_inbound_route_has_istios_names_and_no_limit_of_time() -> None:
    (host,) = shown(inbound_routes("inbound|8080||", "inbound|http|80", "web:80/*", ISTIO_SETTINGS.inbound_retry))[
        "virtual_hosts"
    ]

    (route,) = host["routes"]
    assert host["name"] == "inbound|http|80"
    assert host["domains"] == ["*"]
    assert route["decorator"] == {"operation": "web:80/*"}
    assert route["route"]["timeout"] == "0s"
    assert route["route"]["max_stream_duration"] == {"max_stream_duration": "0s", "grpc_timeout_header_max": "0s"}


@pytest.mark.parametrize(
    ("protocol", "retries"), [(Protocol.HTTP, True), (Protocol.HTTP2, True), (Protocol.GRPC, False)]
)
def test_application_is_tried_again_unless_it_speaks_grpc(protocol: Protocol, *, retries: bool) -> None:
    """Only requests that it cannot have seen; gRPC clients do so themselves."""
    body = captured_inbound(CapturedInbound((port(protocol),))).body
    listener = shown(listener_v3.Listener.parse(body))
    (config,) = [f["typed_config"] for f in listener["filter_chains"][1]["filters"]]

    action = config["route_config"]["virtual_hosts"][0]["routes"][0]["route"]

    assert ("retry_policy" in action) is retries


STRICT, PERMISSIVE, DISABLE = MutualTls.STRICT, MutualTls.PERMISSIVE, MutualTls.DISABLE
MESH = TrustDomain()


def captured(*ports: InboundPort, mode: MutualTls = PERMISSIVE) -> Resource:
    return captured_inbound(CapturedInbound(ports, mode, MESH))


def bound(port: InboundPort, trust_domain: TrustDomain | None = MESH) -> Resource:
    return bound_inbound(BoundInbound(port, "127.0.0.2", trust_domain))


def asking(mode: MutualTls, number: int = 8080, protocol: Protocol = Protocol.HTTP) -> InboundPort:
    return InboundPort(number, protocol, "web", 80, default_endpoint="127.0.0.1:9000", mutual_tls=mode)


def secure_chains(resource: Resource) -> list[dict[str, Any]]:
    """The chains behind mesh TLS, whole."""
    found = shown(listener_v3.Listener.parse(resource.body))["filter_chains"]
    return [chain for chain in found if "transport_socket" in chain]


def inspector(resource: Resource) -> dict[str, Any]:
    """The TLS inspector."""
    listener = listener_v3.Listener.parse(resource.body)
    (found,) = (shown(one) for one in listener.listener_filters if one.name.endswith("tls_inspector"))
    return found


def ports_of(predicate: dict[str, Any]) -> list[int]:
    rules = predicate["or_match"]["rules"] if "or_match" in predicate else [predicate]
    return [rule["destination_port_range"]["start"] for rule in rules]


def test_permissive_port_takes_mesh_tls_and_plain_connections() -> None:
    assert [match.get("transport_protocol") for match, _ in chains(bound(asking(PERMISSIVE)))] == ["tls", "raw_buffer"]
    assert len(secure_chains(bound(asking(PERMISSIVE)))) == 1


def test_strict_port_takes_nothing_else() -> None:
    assert len(secure_chains(bound(asking(STRICT)))) == len(chains(bound(asking(STRICT)))) == 2


@pytest.mark.parametrize("protocol", [Protocol.HTTP, Protocol.TCP, Protocol.AUTO])
def test_change_of_mode_leaves_the_chains_of_mesh_tls_byte_for_byte(protocol: Protocol) -> None:
    """Envoy drains the connections of chains that changed, and of no others."""
    before, after = (
        [one for one in secure_chains(captured(asking(mode, protocol=protocol), mode=PERMISSIVE)) if _has_alpn(one)]
        for mode in (PERMISSIVE, STRICT)
    )

    assert before == after


def _has_alpn(chain: dict[str, Any]) -> bool:
    return "application_protocols" in chain["filter_chain_match"]


def test_strict_port_of_a_proxy_without_an_identity_closes_every_connection() -> None:
    resource = bound(asking(STRICT), None)

    assert chains(resource) == [({}, "BlackHoleCluster")]
    assert resource.refs == ((type_url.CLUSTER, "BlackHoleCluster"),)


def test_captured_ports_stay_closed_too() -> None:
    resource = captured_inbound(CapturedInbound((asking(STRICT),), STRICT))

    assert chains(resource)[1:] == [({"destination_port": 8080}, "BlackHoleCluster"), ({}, "BlackHoleCluster")]


def test_ports_that_no_policy_names_are_asked_for_the_mode_of_the_workload() -> None:
    assert all("transport_socket" in chain for chain in _rest(captured(mode=STRICT)))
    assert not any("transport_socket" in chain for chain in _rest(captured(mode=DISABLE)))


def _rest(resource: Resource) -> list[dict[str, Any]]:
    """All chains but the one that guards the capture."""
    chains: list[dict[str, Any]] = shown(listener_v3.Listener.parse(resource.body))["filter_chains"]
    return chains[1:]


def test_tls_is_looked_for_only_where_it_may_be_that_of_the_mesh() -> None:
    """Elsewhere it would hold up protocols in which the server speaks first."""
    plain, secure = asking(DISABLE, 3306), asking(STRICT, 8080)

    assert ports_of(inspector(captured(plain, secure))["filter_disabled"]) == [3306]
    assert ports_of(inspector(captured(plain, secure, mode=DISABLE))["filter_disabled"]["not_match"]) == [8080]
    assert "tls_inspector" not in inspectors(captured(plain, mode=DISABLE))


def test_listener_with_mesh_tls_needs_the_secrets_and_tells_of_refusals() -> None:
    resource = bound(asking(PERMISSIVE))
    listener = listener_v3.Listener.parse(resource.body)

    assert {name for url, name in resource.refs if url == type_url.SECRET} == {"default", "ROOTCA"}
    assert len(listener.access_log) == 1
    assert listener.continue_on_listener_filters_timeout is True
    assert shown(listener)["listener_filters_timeout"] == "0s"
