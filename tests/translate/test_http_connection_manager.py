"""HTTP connection managers."""

from __future__ import annotations

from typing import Any

import pytest
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from tests.translate.shown import shown
from xds_server.mesh.proxy_settings import ForwardedCert, ProxySettings, Topology
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
