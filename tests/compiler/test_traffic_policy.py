"""What the sections of a traffic policy mean."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.builders import document, istio
from xds_server.compiler.traffic_policy import Sections, traffic_policy
from xds_server.mesh.traffic import (
    UNLIMITED,
    ClientTls,
    ConnectionPool,
    H2Upgrade,
    HashCookie,
    HashKey,
    LoadBalancer,
    LoadBalancing,
    LocalityDistribute,
    LocalityLoadBalancing,
    OutlierDetection,
    RetryBudget,
    SlowStart,
    TcpKeepalive,
    TlsMode,
    TrafficPolicy,
    ZoneAware,
)
from xds_server.policy.destination_rule import DestinationRuleSpec


def sections(written: str) -> Sections:
    spec = document(istio("DestinationRule", f"host: reviews, trafficPolicy: {{{written}}}")).spec
    assert isinstance(spec, DestinationRuleSpec)
    return Sections(**{name: getattr(spec.traffic_policy, name) for name in Sections.__dataclass_fields__})


def made(written: str) -> TrafficPolicy:
    return traffic_policy(sections(written))


def balancer(written: str) -> LoadBalancer:
    return made(f"loadBalancer: {{{written}}}").load_balancer


def test_nothing_written_is_istios_default() -> None:
    assert traffic_policy(Sections()) == TrafficPolicy()


@pytest.mark.parametrize(
    ("simple", "meant"),
    [
        ("UNSPECIFIED", LoadBalancing.LEAST_REQUEST),
        ("LEAST_CONN", LoadBalancing.LEAST_REQUEST),
        ("LEAST_REQUEST", LoadBalancing.LEAST_REQUEST),
        ("ROUND_ROBIN", LoadBalancing.ROUND_ROBIN),
        ("RANDOM", LoadBalancing.RANDOM),
        ("PASSTHROUGH", LoadBalancing.PASSTHROUGH),
    ],
)
def test_simple_load_balancer(simple: str, meant: LoadBalancing) -> None:
    assert balancer(f"simple: {simple}") == LoadBalancer(meant)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("httpHeaderName: x-user", HashKey(header="x-user")),
        ("useSourceIp: true", HashKey(source_ip=True)),
        ("httpQueryParameterName: user", HashKey(query_parameter="user")),
        (
            "httpCookie: {name: user, path: /a, ttl: 0s, attributes: [{name: SameSite, value: Lax}]}",
            HashKey(cookie=HashCookie("user", "/a", timedelta(0), (("SameSite", "Lax"),))),
        ),
        ("httpCookie: {name: user}", HashKey(cookie=HashCookie("user"))),
    ],
)
def test_consistent_hash_key(key: str, meant: HashKey) -> None:
    assert balancer(f"consistentHash: {{{key}}}").hash_key == meant


@pytest.mark.parametrize(
    ("algorithm", "policy", "ring_size", "table_size"),
    [
        ("", LoadBalancing.RING_HASH, None, None),
        (", ringHash: {}", LoadBalancing.RING_HASH, None, None),
        (", ringHash: {minimumRingSize: 64}", LoadBalancing.RING_HASH, 64, None),
        (", minimumRingSize: 32", LoadBalancing.RING_HASH, 32, None),
        (", maglev: {tableSize: 65537}", LoadBalancing.MAGLEV, None, 65537),
    ],
)
def test_consistent_hash_algorithm(
    algorithm: str, policy: LoadBalancing, ring_size: int | None, table_size: int | None
) -> None:
    found = balancer(f"consistentHash: {{useSourceIp: true{algorithm}}}")

    assert (found.policy, found.ring_size, found.table_size) == (policy, ring_size, table_size)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("warmup: {duration: 30s}", SlowStart(timedelta(seconds=30), 10.0, 1.0)),
        ("warmup: {duration: 30s, minimumPercent: 5.0, aggression: 2.0}", SlowStart(timedelta(seconds=30), 5.0, 2.0)),
        ("warmupDurationSecs: 30s", SlowStart(timedelta(seconds=30))),
    ],
)
def test_warm_up(written: str, meant: SlowStart) -> None:
    assert balancer(written).slow_start == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{}", LocalityLoadBalancing()),
        ("{enabled: false}", None),
        (
            "{distribute: [{from: eu/*, to: {us/*: 20, eu/*: 80}}]}",
            LocalityLoadBalancing(distribute=(LocalityDistribute("eu/*", (("eu/*", 80), ("us/*", 20))),)),
        ),
        ("{failover: [{from: eu, to: us}]}", LocalityLoadBalancing(failover=(("eu", "us"),))),
        ("{failoverPriority: [rack]}", LocalityLoadBalancing(failover_priority=("rack",))),
    ],
)
def test_locality_setting(written: str, meant: LocalityLoadBalancing | None) -> None:
    assert balancer(f"localityLbSetting: {written}").locality == meant


def test_connection_pool_holds_what_is_written() -> None:
    pool = made(
        "connectionPool: {tcp: {maxConnections: 1, connectTimeout: 2s, tcpKeepalive: {probes: 3, time: 4s},"
        " maxConnectionDuration: 5s, idleTimeout: 6s}, http: {http1MaxPendingRequests: 7, http2MaxRequests: 8,"
        " maxRequestsPerConnection: 9, maxRetries: 10, idleTimeout: 11s, h2UpgradePolicy: UPGRADE,"
        " maxConcurrentStreams: 12, http2KeepAlive: {interval: 13s, timeout: 14s}}}"
    ).connection_pool

    assert pool == ConnectionPool(
        max_connections=1,
        connect_timeout=timedelta(seconds=2),
        tcp_keepalive=TcpKeepalive(3, timedelta(seconds=4)),
        max_connection_duration=timedelta(seconds=5),
        tcp_idle_timeout=timedelta(seconds=6),
        max_pending_requests=7,
        max_requests=8,
        max_requests_per_connection=9,
        max_retries=10,
        http_idle_timeout=timedelta(seconds=11),
        h2_upgrade=H2Upgrade.UPGRADE,
        max_concurrent_streams=12,
        http2_keepalive=(timedelta(seconds=13), timedelta(seconds=14)),
    )


def test_limit_of_zero_is_no_limit() -> None:
    pool = made("connectionPool: {tcp: {maxConnections: 0}, http: {maxRetries: 0}}").connection_pool

    assert pool == ConnectionPool()
    assert pool.max_connections == UNLIMITED


def test_outlier_detection_holds_what_is_written() -> None:
    policy = made(
        "outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 2, interval: 3s, baseEjectionTime: 4s,"
        " maxEjectionPercent: 50, minHealthPercent: 10, splitExternalLocalOriginErrors: true,"
        " consecutiveLocalOriginFailures: 6, outlierDetectionHttpErrorCodes: [500]}"
    )

    assert policy.min_health_percent == 10
    assert policy.outlier_detection == OutlierDetection(
        consecutive_5xx=0,
        consecutive_gateway_errors=2,
        interval=timedelta(seconds=3),
        base_ejection_time=timedelta(seconds=4),
        max_ejection_percent=50,
        split_external_local_origin_errors=True,
        consecutive_local_origin_failures=6,
        http_error_codes=("500",),
    )


def test_empty_outlier_detection_is_on_with_envoys_limits() -> None:
    assert made("outlierDetection: {}").outlier_detection == OutlierDetection()


def test_tls_holds_what_is_written() -> None:
    assert made("tls: {mode: SIMPLE, sni: a, subjectAltNames: [b], caCertificates: c}").tls == ClientTls(
        TlsMode.SIMPLE, sni="a", subject_alt_names=("b",), ca_certificates="c"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{}", RetryBudget(20.0, 3)),
        ("{percent: 0.0}", RetryBudget(0.0, 3)),
        ("{percent: 5.0, minRetryConcurrency: 1, budgetInterval: 2s}", RetryBudget(5.0, 1, timedelta(seconds=2))),
    ],
)
def test_retry_budget(written: str, meant: RetryBudget) -> None:
    assert made(f"retryBudget: {written}").retry_budget == meant


def test_proxy_protocol_is_version_one_unless_said_otherwise() -> None:
    assert made("proxyProtocol: {}").proxy_protocol == "V1"
    assert made("proxyProtocol: {version: V2}").proxy_protocol == "V2"


@pytest.mark.parametrize(
    ("written", "in_vain"),
    [
        ("loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}", True),
        ("loadBalancer: {localityLbSetting: {failoverPriority: [rack]}}", True),
        ("loadBalancer: {localityLbSetting: {failoverPriority: [rack]}}, outlierDetection: {}", False),
        ("loadBalancer: {localityLbSetting: {failoverPriority: [rack], enabled: false}}", False),
        ("loadBalancer: {simple: RANDOM}", False),
    ],
)
def test_failover_is_in_vain_without_outlier_detection(written: str, in_vain: bool) -> None:
    assert sections(written).fails_over_in_vain is in_vain


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{}", ZoneAware()),
        ("{enabled: false}", ZoneAware(enabled=False)),
        (
            "{failover: [{from: eu, to: us}], minClusterSize: 3}",
            ZoneAware(failover=(("eu", "us"),), min_cluster_size=3),
        ),
        ("{failoverPriority: [rack]}", ZoneAware(failover_priority=("rack",))),
    ],
)
def test_zone_aware_setting(written: str, meant: ZoneAware) -> None:
    found = balancer(f"zoneAwareLbSetting: {written}")

    assert found.zone_aware == meant
    assert (found.locality is None) is meant.enabled
