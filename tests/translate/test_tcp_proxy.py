"""TCP proxies."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from tests.builders import backend, traffic_rule
from tests.translate.shown import shown
from xds_server.mesh.traffic import ConnectionPool, HashKey, LoadBalancer, LoadBalancing, TrafficPolicy
from xds_server.translate.tcp_proxy import TcpTarget, tcp_proxy, tcp_target

SECOND = timedelta(seconds=1)


def config(network_filter: listener_v3.Filter) -> dict[str, object]:
    found = dict(shown(network_filter)["typed_config"])
    del found["@type"]
    return found


def test_connections_go_to_the_cluster_which_names_the_statistics() -> None:
    assert config(tcp_proxy(TcpTarget("outbound|3306||db"))) == {
        "stat_prefix": "outbound|3306||db",
        "cluster": "outbound|3306||db",
    }


def test_traffic_rule_of_the_service_limits_connections() -> None:
    pool = ConnectionPool(tcp_idle_timeout=5 * SECOND, max_connection_duration=60 * SECOND)
    balancer = LoadBalancer(LoadBalancing.MAGLEV, HashKey(source_ip=True), table_size=65537)

    found = config(tcp_proxy(tcp_target(backend("db", traffic_rule(TrafficPolicy(balancer, pool))), 9080)))

    assert found["idle_timeout"] == "5s"
    assert found["max_downstream_connection_duration"] == "60s"
    assert found["hash_policy"] == [{"source_ip": {}}]
