from __future__ import annotations

import pytest

from xds_server.translate import names
from xds_server.translate.names import ClusterName, Direction


def test_names_are_istios() -> None:
    """What istioctl, dashboards and people's habits rely on."""
    assert names.outbound_cluster(80, "", "worker-service") == "outbound|80||worker-service"
    assert names.outbound_cluster(9080, "v1", "reviews") == "outbound|9080|v1|reviews"
    assert names.inbound_cluster(8080) == "inbound|8080||"
    assert names.outbound_sni(80, "v1", "worker-service") == "outbound_.80_.v1_.worker-service"
    assert names.alt_stat_name("inbound|8080||") == "inbound|8080||;"
    assert names.listener("", 80) == "0.0.0.0_80"
    assert names.listener("10.0.0.1", 3306) == "10.0.0.1_3306"
    assert names.outbound_route(80) == "80"
    assert names.sniffed_route("db", 3306) == "db:3306"
    assert names.virtual_host("worker-service", 80) == "worker-service:80"
    assert names.inbound_virtual_host(80) == "inbound|http|80"
    assert names.http_stat_prefix(Direction.OUTBOUND, "0.0.0.0", 80) == "outbound_0.0.0.0_80;"


@pytest.mark.parametrize("subset", ["", "v1"])
def test_a_cluster_name_reads_back_as_its_parts(subset: str) -> None:
    parts = ClusterName(Direction.OUTBOUND, 80, subset, "worker-service")

    assert names.parse_cluster(str(parts)) == parts
    assert names.parse_outbound_sni(names.outbound_sni(80, subset, "worker-service")) == parts
    assert names.parse_cluster(names.inbound_cluster(8080)) == ClusterName(Direction.INBOUND, 8080, "", "")


def test_a_listener_or_host_name_reads_back_as_its_parts() -> None:
    assert names.parse_listener(names.listener("::1", 80)) == ("::1", 80)
    assert names.split_host_port(names.virtual_host("worker-service", 80)) == ("worker-service", 80)


@pytest.mark.parametrize("name", ["PassthroughCluster", "other|80||host", "outbound|http||host", "outbound|80|host"])
def test_names_that_are_not_a_service_clusters_have_no_parts(name: str) -> None:
    assert names.parse_cluster(name) is None


@pytest.mark.parametrize("name", ["virtualInbound", "80", "http_proxy", "_80"])
def test_names_that_are_not_an_address_and_port_have_no_parts(name: str) -> None:
    assert names.parse_listener(name) is None
    assert names.split_host_port(name) is None
    assert names.parse_outbound_sni(name) is None
