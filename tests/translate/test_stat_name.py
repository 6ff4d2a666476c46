"""Names in statistics, by MeshConfig's patterns."""

from __future__ import annotations

import pytest

from xds_server.mesh.service import Port, Protocol, Resolution, Service
from xds_server.mesh.view import InboundPort
from xds_server.translate.stat_name import inbound_stat_name, outbound_stat_name

PORT = Port(80, "http", Protocol.HTTP, 8080)
ALL = "%SERVICE%,%SERVICE_NAME%,%SERVICE_FQDN%,%SERVICE_PORT%,%SERVICE_PORT_NAME%,%TARGET_PORT%,%SUBSET_NAME%"


def service(host: str) -> Service:
    return Service(host, "default", (PORT,), Resolution.STATIC)


@pytest.mark.parametrize(
    ("host", "short", "name"),
    [
        ("reviews.prod.svc.cluster.local", "reviews.prod", "reviews"),
        ("reviews.prod.svc", "reviews.prod", "reviews"),
        ("reviews", "reviews", "reviews"),
        ("api.example.com", "api.example.com", "api.example.com"),
    ],
)
def test_every_variable_of_a_pattern_is_filled_in(host: str, short: str, name: str) -> None:
    found = outbound_stat_name(ALL, service(host), PORT, "v1")

    assert found == f"{short},{name},{host},80,http,8080,v1"


def test_without_a_pattern_a_cluster_is_called_by_its_name() -> None:
    assert outbound_stat_name("", service("reviews"), PORT, "v1") == "outbound|80|v1|reviews"
    assert inbound_stat_name("", InboundPort(8080, Protocol.HTTP, "reviews", 80)) == "inbound|8080||"


def test_towards_the_application_the_target_is_its_own_port() -> None:
    port = InboundPort(8080, Protocol.HTTP, "reviews", 80, port_name="http")

    assert inbound_stat_name(ALL, port) == "reviews,reviews,reviews,80,http,8080,"


def test_a_port_of_no_service_has_nothing_to_fill_in() -> None:
    assert inbound_stat_name(ALL, InboundPort(8080, Protocol.HTTP)) == "inbound|8080||"
