"""Names of statistics: what each tells, and that proxies are asked for exactly those."""

from __future__ import annotations

import pytest
import re2

from xds_server.signals.quantity import Count, Latency, Level, Quantity
from xds_server.signals.stat import PATTERNS, Called, Served, stat

CALLED = "cluster.outbound|80|v1|reviews.default.svc.cluster.local;."
REVIEWS = Called("reviews.default.svc.cluster.local", "v1")


@pytest.mark.parametrize(
    ("name", "of", "quantity"),
    [
        (CALLED + "upstream_rq_2xx", REVIEWS, Count.RESPONSES_2XX),
        (CALLED + "upstream_rq_time", REVIEWS, Latency.DURATION),
        (CALLED + "upstream_rq_per_try_timeout", REVIEWS, Count.TIMEOUTS),
        (CALLED + "upstream_rq_pending_active", REVIEWS, Level.PENDING_REQUESTS),
        (CALLED + "grpc.14", REVIEWS, Count.GRPC_UNAVAILABLE),
        (CALLED + "ssl.handshake", REVIEWS, Count.TLS_CONNECTIONS),
        (CALLED + "outlier_detection.ejections_active", REVIEWS, Level.EJECTED_ENDPOINTS),
        ("cluster.PassthroughCluster.upstream_rq_5xx", Called("PassthroughCluster"), Count.RESPONSES_5XX),
        ("cluster.inbound|8080||;.upstream_rq_pending_overflow", Served(8080), Count.REQUESTS_REFUSED),
        ("cluster.inbound|8080||;.upstream_rq_1xx", Served(8080), Count.RESPONSES_1XX),
        ("cluster.inbound|8080||;.grpc.0", Served(8080), Count.GRPC_OK),
        ("cluster.InboundPassthroughCluster.upstream_cx_connect_fail", Served(0), Count.CONNECT_FAILURES),
        ("http.inbound_0.0.0.0_8080;.downstream_rq_4xx", Served(8080), Count.RESPONSES_4XX),
        ("http.inbound_127.0.0.2_8080;.downstream_rq_time", Served(8080), Latency.DURATION),
        ("http.inbound_0.0.0.0_0;.downstream_cx_ssl_total", Served(0), Count.TLS_CONNECTIONS),
        ("tcp.inbound|3306||.downstream_cx_total", Served(3306), Count.OPAQUE_CONNECTIONS),
        ("tcp.InboundPassthroughCluster.downstream_cx_total", Served(0), Count.OPAQUE_CONNECTIONS),
    ],
)
def test_statistic_tells_one_thing_of_one_service_and_proxies_keep_it(
    name: str, of: Called | Served, quantity: Quantity
) -> None:
    found = stat(name)

    assert found is not None
    assert (found.of, found.quantity) == (of, quantity)
    assert any(re2.fullmatch(pattern, name) for pattern in PATTERNS)


@pytest.mark.parametrize(
    "name",
    [
        CALLED + "upstream_rq_200",
        CALLED + "external.upstream_rq_2xx",
        CALLED + "grpc.17",  # a server may answer what it likes, and would make as many statistics
        CALLED + "grpc.failure",
        CALLED + "membership_total",
        CALLED + "circuit_breakers.default.cx_open",
        "cluster.inbound|8080||;.upstream_rq_2xx",
        "http.inbound_0.0.0.0_8080;.downstream_rq_1xx",  # Envoy's own 100 to whoever expects it is no last answer
        "http.outbound_0.0.0.0_80;.downstream_rq_2xx",
        "listener.0.0.0.0_15006.http.inbound_0.0.0.0_8080;.downstream_rq_2xx",
        "tcp.outbound|3306||db.downstream_cx_total",
        "http.admin.downstream_rq_2xx",
    ],
)
def test_what_tells_nothing_is_neither_kept_by_proxies_nor_read(name: str) -> None:
    """Above all nothing is counted twice: Envoy has many a statistic under two names."""
    assert stat(name) is None
    assert not any(re2.fullmatch(pattern, name) for pattern in PATTERNS)


@pytest.mark.parametrize("name", ["", "cluster", "cluster.", "cluster.outbound|x;.a", "http.;.", "tcp.inbound|.x"])
def test_name_that_nobody_made_is_passed_over(name: str) -> None:
    assert stat(name) is None


@pytest.mark.parametrize(
    "name", ["server.live", "cluster_manager.cds.update_rejected", "cluster.xds-grpc.ssl.handshake"]
)
def test_what_tells_of_the_proxy_itself_is_kept_for_people(name: str) -> None:
    assert any(re2.fullmatch(pattern, name) for pattern in PATTERNS)
