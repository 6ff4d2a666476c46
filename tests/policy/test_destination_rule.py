"""Istio's rules for a DestinationRule, each in the words its author reads."""

from __future__ import annotations

import pytest

from tests.policy.reading import errors, of_kind
from xds_server.policy.destination_rule import DestinationRuleSpec, SimpleLB


def policy_errors(policy: str) -> list[str]:
    """The fields with an error in one traffic policy, below it."""
    found = errors("DestinationRule", f"host: a\ntrafficPolicy: {policy}")
    return [field.removeprefix("trafficPolicy").removeprefix(".") for field, _ in found]


def test_every_part_of_a_policy_is_read() -> None:
    document, problems = of_kind(
        "DestinationRule",
        """
        host: reviews
        exportTo: ["*"]
        trafficPolicy:
          loadBalancer:
            simple: ROUND_ROBIN
            warmup: {duration: 30s, minimumPercent: 5, aggression: 1.5}
            localityLbSetting: {failover: [{from: us, to: eu}], failoverPriority: [app], enabled: true}
          connectionPool:
            tcp: {maxConnections: 1, connectTimeout: 1s, idleTimeout: 0s, tcpKeepalive: {probes: 3, time: 7200s}}
            http: {http1MaxPendingRequests: 1, h2UpgradePolicy: UPGRADE, http2KeepAlive: {interval: 1s, timeout: 2s}}
          outlierDetection: {consecutive5xxErrors: 0, interval: 1s, maxEjectionPercent: 100, minHealthPercent: 50}
          proxyProtocol: {version: V2}
          retryBudget: {percent: 20, minRetryConcurrency: 3, budgetInterval: 10s}
          portLevelSettings:
          - port: {number: 80}
            loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 7}}}
        subsets:
        - {name: v1, labels: {version: v1}}
        """,
    )

    assert problems == ()
    assert document is not None
    assert isinstance(document.spec, DestinationRuleSpec)
    policy = document.spec.traffic_policy
    assert policy is not None
    assert policy.load_balancer is not None
    assert policy.load_balancer.simple is SimpleLB.ROUND_ROBIN
    assert policy.outlier_detection is not None
    assert policy.outlier_detection.consecutive_5xx_errors == 0
    assert policy.outlier_detection.consecutive_gateway_errors is None


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ("{}", ""),
        ("{connectionPool: {}}", "connectionPool"),
        ("{portLevelSettings: [{port: {number: 80}}]}", "portLevelSettings[0]"),
        ("{portLevelSettings: [{tls: {mode: DISABLE}}]}", "portLevelSettings[0].port"),
        (
            "{portLevelSettings: [{port: {number: 80}, tls: {}}, {port: {number: 80}, tls: {}}]}",
            "portLevelSettings[1].port.number",
        ),
        ("{tunnel: {targetHost: a, targetPort: 80}, proxyProtocol: {}}", "proxyProtocol"),
        ("{tunnel: {targetHost: a, targetPort: 80, protocol: GET}}", "tunnel.protocol"),
        ("{connectionPool: {http: {http2KeepAlive: {interval: 1s}}}}", "connectionPool.http.http2KeepAlive.timeout"),
        (
            "{connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}}",
            "connectionPool.http.useClientProtocol",
        ),
        ("{connectionPool: {tcp: {maxConnections: -1}}}", "connectionPool.tcp.maxConnections"),
        ("{connectionPool: {tcp: {connectTimeout: 0s}}}", "connectionPool.tcp.connectTimeout"),
        ("{outlierDetection: {maxEjectionPercent: 101}}", "outlierDetection.maxEjectionPercent"),
        (
            "{outlierDetection: {consecutiveLocalOriginFailures: 1}}",
            "outlierDetection.consecutiveLocalOriginFailures",
        ),
        (
            "{outlierDetection: {outlierDetectionHttpErrorCodes: [99]}}",
            "outlierDetection.outlierDetectionHttpErrorCodes[0]",
        ),
        ("{tls: {mode: MUTUAL, privateKey: /k}}", "tls"),
        ("{tls: {mode: SIMPLE, credentialName: a, caCertificates: /c}}", "tls.caCertificates"),
        ("{tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}}", "tls.subjectAltNames"),
    ],
)
def test_each_part_of_a_policy_keeps_istios_rules(policy: str, field: str) -> None:
    assert policy_errors(policy) == [field]


@pytest.mark.parametrize(
    ("balancer", "field"),
    [
        ("{simple: RANDOM, consistentHash: {useSourceIp: true}}", "consistentHash"),
        ("{consistentHash: {}}", "consistentHash"),
        ("{consistentHash: {useSourceIp: true, httpHeaderName: a}}", "consistentHash.useSourceIp"),
        ("{consistentHash: {useSourceIp: true, ringHash: {}, maglev: {tableSize: 7}}}", "consistentHash.maglev"),
        ("{consistentHash: {useSourceIp: true, maglev: {}}}", "consistentHash.maglev"),
        ("{consistentHash: {useSourceIp: true, maglev: {tableSize: 8}}}", "consistentHash.maglev.tableSize"),
        ("{consistentHash: {useSourceIp: true, maglev: {tableSize: 5000011}}}", "consistentHash.maglev.tableSize"),
        ("{consistentHash: {httpCookie: {ttl: 0s}}}", "consistentHash.httpCookie.name"),
        (
            "{consistentHash: {httpCookie: {name: c, attributes: [{name: a}, {name: a}]}}}",
            "consistentHash.httpCookie.attributes[1].name",
        ),
        ("{localityLbSetting: {}, zoneAwareLbSetting: {}}", "zoneAwareLbSetting"),
        ("{localityLbSetting: {distribute: [{from: a, to: {a: 90}}]}}", "localityLbSetting.distribute[0].to"),
        ("{localityLbSetting: {distribute: [{from: a, to: {a: 0, b: 100}}]}}", "localityLbSetting.distribute[0].to.a"),
        (
            "{localityLbSetting: {distribute: [{from: a, to: {'a/*': 50, a/b: 50}}]}}",
            "localityLbSetting.distribute[0].to",
        ),
        (
            "{localityLbSetting: {distribute: [{from: a, to: {a: 100}}], failover: [{from: a, to: b}]}}",
            "localityLbSetting.failover",
        ),
        ("{localityLbSetting: {failover: [{from: a, to: a}]}}", "localityLbSetting.failover[0].to"),
        ("{localityLbSetting: {failover: [{from: a/z, to: b}]}}", "localityLbSetting.failover[0].from"),
        (
            "{localityLbSetting: {failover: [{from: a, to: b}], failoverPriority: [topology.kubernetes.io/zone]}}",
            "localityLbSetting.failoverPriority[0]",
        ),
        ("{zoneAwareLbSetting: {minClusterSize: 0}}", "zoneAwareLbSetting.minClusterSize"),
        ("{warmup: {}}", "warmup.duration"),
        ("{warmup: {duration: 1s, minimumPercent: 150}}", "warmup.minimumPercent"),
        ("{warmup: {duration: 1s, aggression: -0.1}}", "warmup.aggression"),
    ],
)
def test_load_balancers_keep_istios_rules(balancer: str, field: str) -> None:
    assert policy_errors(f"{{loadBalancer: {balancer}}}") == [f"loadBalancer.{field}"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{trafficPolicy: {tls: {}}}", "host"),
        ("{host: a, subsets: [{name: v1}, {name: v1}]}", "subsets[1].name"),
        ("{host: a, subsets: [{name: 'v 1'}]}", "subsets[0].name"),
        ("{host: a, subsets: [{name: v1, trafficPolicy: {}}]}", "subsets[0].trafficPolicy"),
        ("{host: a, workloadSelector: {matchLabels: {a: b}}, exportTo: ['*']}", "exportTo"),
    ],
)
def test_rules_of_the_whole(spec: str, field: str) -> None:
    assert [where for where, _ in errors("DestinationRule", spec)] == [field]


def test_localities_may_share_a_prefix_that_is_no_parent() -> None:
    assert (
        policy_errors("{loadBalancer: {localityLbSetting: {distribute: [{from: 'us/*', to: {us-east: 50, us: 50}}]}}}")
        == []
    )
