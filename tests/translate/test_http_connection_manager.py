"""HTTP connection managers."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from tests.translate.shown import shown
from xds_server.mesh.proxy_settings import (
    EDGE_LIMITS,
    ForwardedCert,
    PathNormalization,
    ProxyHeaders,
    ProxySettings,
    ToldOfCaller,
    Topology,
)
from xds_server.translate.header_case import http1_options
from xds_server.translate.http_connection_manager import gateway_http, inbound_http, outbound_http

OUT = outbound_http("outbound_0.0.0.0_80;", "80")
IN = inbound_http("inbound_0.0.0.0_80;", route_v3.RouteConfiguration(name="inbound|80||"))


def manager(network_filter: listener_v3.Filter) -> dict[str, Any]:
    found: dict[str, Any] = shown(network_filter)["typed_config"]
    return found


def test_outbound_routes_come_by_discovery_and_are_waited_for() -> None:
    """Routes inside the listener would drain its connections at every change."""
    assert manager(OUT)["rds"] == {
        "config_source": {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"},
        "route_config_name": "80",
    }


def test_inbound_routes_stand_inside() -> None:
    assert manager(IN)["route_config"] == {"name": "inbound|80||"}


@pytest.mark.parametrize("network_filter", [OUT, IN], ids=["outbound", "inbound"])
def test_defaults_are_istios(network_filter: listener_v3.Filter) -> None:
    found = manager(network_filter)

    assert found["normalize_path"] is True
    assert found["path_with_escaped_slashes_action"] == "KEEP_UNCHANGED"
    assert found["use_remote_address"] is False
    assert found["generate_request_id"] is True
    assert found["stream_idle_timeout"] == "0s"
    assert found["upgrade_configs"] == [{"upgrade_type": "websocket"}]


def test_inbound_says_who_called() -> None:
    """X-Forwarded-Client-Cert, as far as mesh TLS proved it."""
    found = manager(IN)

    assert found["forward_client_cert_details"] == "APPEND_FORWARD"
    assert found["set_current_client_cert_details"] == {"subject": True, "dns": True, "uri": True}
    assert found["server_name"] == "istio-envoy"


def test_outbound_passes_on_no_certificate_of_its_caller() -> None:
    found = manager(OUT)

    assert "forward_client_cert_details" not in found
    assert "server_name" not in found


def test_router_believes_no_proxy_and_no_header_about_certificates() -> None:
    found = manager(gateway_http("edge", "http.80"))

    assert "xff_num_trusted_hops" not in found
    assert found["forward_client_cert_details"] == "SANITIZE_SET"


def test_router_believes_the_proxies_that_are_said_to_stand_in_front_and_sidecars_do_not() -> None:
    behind = ProxySettings(topology=Topology(2, ForwardedCert.APPEND_FORWARD))

    found = manager(gateway_http("edge", "http.80", behind))

    assert found["xff_num_trusted_hops"] == 2
    assert found["forward_client_cert_details"] == "APPEND_FORWARD"
    assert manager(outbound_http("outbound_0.0.0.0_80;", "80", behind)) == manager(OUT)


def with_headers(headers: ProxyHeaders) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The connection managers out, in and of a router."""
    settings = ProxySettings(headers=headers)
    routes = route_v3.RouteConfiguration(name="inbound|80||")
    return (
        manager(outbound_http("outbound_0.0.0.0_80;", "80", settings)),
        manager(inbound_http("inbound_0.0.0.0_80;", routes, settings)),
        manager(gateway_http("edge", "http.80", settings)),
    )


@pytest.mark.parametrize(
    ("headers", "field", "value"),
    [
        (ProxyHeaders(server="shop"), "server_name", "shop"),
        (ProxyHeaders(server=None), "server_header_transformation", "PASS_THROUGH"),
        (ProxyHeaders(request_id=False), "generate_request_id", False),
        (ProxyHeaders(port=True), "append_x_forwarded_port", True),
    ],
)
def test_headers_that_the_mesh_sets_are_those_of_every_proxy(headers: ProxyHeaders, field: str, value: object) -> None:
    assert [each[field] for each in with_headers(headers)] == [value] * 3


def test_server_header_of_the_application_is_kept_whole() -> None:
    assert ["server_name" in each for each in with_headers(ProxyHeaders(server=None))] == [False] * 3


def test_headers_of_envoys_own_can_be_left_out() -> None:
    for found in with_headers(ProxyHeaders(envoy_headers=False)):
        assert found["http_filters"][-1]["typed_config"]["suppress_envoy_headers"] is True


def test_what_applications_are_told_of_callers_is_no_business_of_a_router() -> None:
    told = ProxyHeaders(
        forwarded_cert=ForwardedCert.SANITIZE_SET, told_of_caller=ToldOfCaller(subject=False, cert=True)
    )

    _, found, router = with_headers(told)

    assert found["forward_client_cert_details"] == "SANITIZE_SET"
    assert found["set_current_client_cert_details"] == {"subject": False, "cert": True, "dns": True, "uri": True}
    assert router == manager(gateway_http("edge", "http.80"))


def test_names_of_headers_stay_as_they_came_where_the_mesh_wants_it() -> None:
    assert ["http_protocol_options" in each for each in with_headers(ProxyHeaders())] == [False] * 3
    for found in with_headers(ProxyHeaders(keeps_case=True)):
        assert found["http_protocol_options"] == shown(http1_options(keeps_case=True))


def test_callers_of_a_router_are_limited_apart_from_those_of_sidecars() -> None:
    settings = ProxySettings(path_normalization=PathNormalization.NONE, router_limits=EDGE_LIMITS)

    found = manager(gateway_http("edge", "http.80", settings))

    assert (found["request_timeout"], found["request_headers_timeout"], found["stream_idle_timeout"]) == (
        "300s",
        "60s",
        "300s",
    )
    assert found["merge_slashes"] is True
    assert found["path_with_escaped_slashes_action"] == "UNESCAPE_AND_REDIRECT"
    sidecar = manager(outbound_http("outbound_0.0.0.0_80;", "80", settings))
    assert sidecar["stream_idle_timeout"] == "0s"
    assert "request_timeout" not in sidecar
