"""TCP proxies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from envoy_data_plane.envoy.config.listener import v3 as listener_v3

from tests.builders import backend, destination, service, traffic_rule
from tests.translate.shown import shown
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.route import ConnectionMatch, ConnectionRoute
from xds_server.mesh.service import Endpoint, Protocol, Resolution
from xds_server.mesh.traffic import (
    ConnectionPool,
    HashKey,
    LoadBalancer,
    LoadBalancing,
    PortPolicies,
    Subset,
    TrafficPolicy,
    TrafficRule,
    Tunnel,
)
from xds_server.problem import Origin
from xds_server.translate.tcp_proxy import (
    SNI_DYNAMIC_FORWARD_PROXY,
    TcpTarget,
    clusters_of,
    routed_target,
    tcp_filters,
    tcp_proxy,
    tcp_target,
)

SECOND = timedelta(seconds=1)


def config(network_filter: listener_v3.Filter) -> dict[str, Any]:
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

    db = backend("db", traffic_rule(TrafficPolicy(balancer, pool)))
    found = config(tcp_proxy(tcp_target(db, 9080)))

    assert found["idle_timeout"] == "5s"
    assert found["max_downstream_connection_duration"] == "60s"
    assert found["hash_policy"] == [{"source_ip": {}}]


def test_several_destinations_share_connections_by_weight() -> None:
    db = backend("db", traffic_rule(v1={}, v2={}), port=3306)
    route = ConnectionRoute(
        tls=False,
        match=ConnectionMatch(),
        destinations=(destination(db, subset="v1", weight=1), destination(db, subset="v2", weight=3)),
        origin=Origin("a.yaml", 1, "VirtualService", "shop", "db"),
    )

    target = routed_target(route, 3306, {db})

    assert config(tcp_proxy(target)) == {
        "stat_prefix": "db.shop",
        "weighted_clusters": {
            "clusters": [{"name": "outbound|3306|v1|db", "weight": 1}, {"name": "outbound|3306|v2|db", "weight": 3}]
        },
    }
    assert clusters_of(target) == ("outbound|3306|v1|db", "outbound|3306|v2|db")


def test_destination_that_the_proxy_does_not_see_gets_nothing() -> None:
    """A listener that names a cluster which is not there would be refused."""
    db = backend("db", port=3306)
    seen = ConnectionRoute(tls=False, match=ConnectionMatch(), destinations=(destination(db),))
    subset = ConnectionRoute(tls=False, match=ConnectionMatch(), destinations=(destination(db, subset="v9"),))

    assert routed_target(seen, 3306, {db}).cluster == "outbound|3306||db"
    assert routed_target(seen, 3306, set()).cluster == "BlackHoleCluster"
    assert routed_target(subset, 3306, {db}).cluster == "BlackHoleCluster"


@pytest.mark.parametrize(
    ("protocol", "trust_domain", "says"),
    [(Protocol.AUTO, TrustDomain(), "istio"), (Protocol.AUTO, None, ""), (Protocol.TCP, TrustDomain(), "")],
)
def test_bytes_on_a_cluster_that_http_shares_say_that_they_are_none(
    protocol: Protocol, trust_domain: TrustDomain | None, says: str
) -> None:
    """What its cluster offers says that HTTP is inside; a cluster of TCP alone says the right thing by itself."""
    proven = Endpoint("10.0.0.1", tls_mode="istio", service_account="a", namespace="default")
    found = backend(service("db", protocol=protocol, endpoints=[proven]))

    assert tcp_target(found, 9080, trust_domain).alpn == says


def test_what_is_inside_is_said_before_the_connection_is_passed_on() -> None:
    first, last = tcp_filters(TcpTarget("a", alpn="istio"))

    (value,) = config(first)["on_new_connection"]
    assert value["object_key"] == "envoy.network.application_protocols"
    assert value["format_string"]["text_format_source"] == {"inline_string": "istio"}
    assert value["shared_with_upstream"] == "ONCE"
    assert last == tcp_proxy(TcpTarget("a"))
    assert tcp_filters(TcpTarget("a")) == [last]


def test_wildcard_host_is_looked_up_by_the_server_name_that_is_asked_for() -> None:
    wild = service("*.example.com", port=443, protocol=Protocol.TLS, resolution=Resolution.DYNAMIC_DNS)

    first, last = tcp_filters(tcp_target(backend(wild), 443))

    assert first.name == SNI_DYNAMIC_FORWARD_PROXY
    assert config(first)["port_value"] == 443
    assert config(last)["cluster"] == "outbound|443||*.example.com"


def test_tunnel_is_the_services_own_or_the_subsets_own() -> None:
    """Settings of a port take the service's away, as they do with everything written around them (Istio's rule)."""
    service_tunnel, subset_tunnel = Tunnel("a", 1), Tunnel("b", 2, post=True)
    policies = PortPolicies(TrafficPolicy(), ((90, TrafficPolicy()),))
    subsets = (Subset("v1", (), policies, subset_tunnel), Subset("v2", (), policies))
    rule = TrafficRule(policies, subsets, tunnel=service_tunnel)

    assert (rule.tunnel_for(80), rule.tunnel_for(90)) == (service_tunnel, None)
    assert (rule.tunnel_for(80, "v1"), rule.tunnel_for(80, "v2")) == (subset_tunnel, None)


def test_tunnel_names_what_the_proxy_is_to_connect_to() -> None:
    found = config(tcp_proxy(TcpTarget("c", tunnel=Tunnel("db.example.com", 5432, post=True))))

    assert found["tunneling_config"] == {"hostname": "db.example.com:5432", "use_post": True}
