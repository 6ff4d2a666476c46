from __future__ import annotations

from datetime import timedelta

import pytest

from tests.translate.shown import shown
from xds_server.mesh.service import Protocol
from xds_server.mesh.traffic import UNLIMITED, ConnectionPool, H2Upgrade, RetryBudget, TcpKeepalive
from xds_server.translate.connection_pool import circuit_breakers, http_protocol_options, upstream_connection_options
from xds_server.translate.outlier_detection import error_matcher

SECOND = timedelta(seconds=1)


def spoken(pool: ConnectionPool, protocol: Protocol) -> str:
    """Which HTTP Envoy speaks to the endpoints."""
    options = http_protocol_options(pool, protocol)
    if options is None:
        return "default"
    if options.use_downstream_protocol_config is not None:
        return "downstream"
    assert options.explicit_http_config is not None
    return "http1" if options.explicit_http_config.http2_protocol_options is None else "http2"


def test_nothing_is_limited_unless_asked_for() -> None:
    """Istio's defaults; Envoy's own are 1024 connections and 3 retries at once."""
    (limits,) = circuit_breakers(ConnectionPool()).thresholds

    assert limits.max_connections == UNLIMITED
    assert limits.max_pending_requests == UNLIMITED
    assert limits.max_requests == UNLIMITED
    assert limits.max_retries == UNLIMITED
    assert limits.retry_budget is None
    assert not limits.track_remaining


def test_each_limit_is_its_own() -> None:
    pool = ConnectionPool(max_connections=1, max_pending_requests=2, max_requests=3, max_retries=4)

    (limits,) = circuit_breakers(pool).thresholds

    assert limits.max_connections == 1
    assert limits.max_pending_requests == 2
    assert limits.max_requests == 3
    assert limits.max_retries == 4


def test_a_retry_budget_is_written_whole() -> None:
    (limits,) = circuit_breakers(ConnectionPool(), RetryBudget(25, 5, SECOND)).thresholds

    assert limits.retry_budget is not None
    assert limits.retry_budget.budget_percent is not None
    assert limits.retry_budget.budget_percent.value == 25
    assert limits.retry_budget.min_retry_concurrency == 5
    assert limits.retry_budget.budget_interval == SECOND


def test_tcp_keepalive_counts_whole_seconds_and_never_none() -> None:
    pool = ConnectionPool(tcp_keepalive=TcpKeepalive(3, 90 * SECOND, SECOND / 2))

    found = upstream_connection_options(pool)

    assert found is not None
    assert found.tcp_keepalive is not None
    assert found.tcp_keepalive.keepalive_probes == 3
    assert found.tcp_keepalive.keepalive_time == 90
    assert found.tcp_keepalive.keepalive_interval == 1
    assert upstream_connection_options(ConnectionPool()) is None


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        (Protocol.HTTP, "default"),
        (Protocol.HTTP2, "http2"),
        (Protocol.GRPC, "http2"),
        (Protocol.GRPC_WEB, "http2"),
        (Protocol.AUTO, "downstream"),
        (Protocol.TCP, "default"),
        (Protocol.HTTPS, "default"),
    ],
)
def test_the_port_says_which_http_is_spoken(protocol: Protocol, expected: str) -> None:
    assert spoken(ConnectionPool(), protocol) == expected


@pytest.mark.parametrize(
    ("protocol", "expected"), [(Protocol.HTTP, "http2"), (Protocol.AUTO, "http2"), (Protocol.TCP, "default")]
)
def test_an_upgrade_acts_on_http_declared_or_detected(protocol: Protocol, expected: str) -> None:
    assert spoken(ConnectionPool(h2_upgrade=H2Upgrade.UPGRADE), protocol) == expected


@pytest.mark.parametrize("protocol", [Protocol.HTTP, Protocol.HTTP2])
def test_the_clients_protocol_wins_over_the_ports(protocol: Protocol) -> None:
    assert spoken(ConnectionPool(use_client_protocol=True), protocol) == "downstream"


def test_connection_settings_are_common_to_all_http() -> None:
    pool = ConnectionPool(max_requests_per_connection=2, http_idle_timeout=SECOND, max_connection_duration=9 * SECOND)

    options = http_protocol_options(pool, Protocol.HTTP)

    assert spoken(pool, Protocol.HTTP) == "http1"
    assert options is not None
    assert options.common_http_protocol_options is not None
    assert options.common_http_protocol_options.max_requests_per_connection == 2
    assert options.common_http_protocol_options.idle_timeout == SECOND
    assert options.common_http_protocol_options.max_connection_duration == 9 * SECOND


def test_the_http_idle_timeout_wins_over_tcps_even_when_it_is_zero() -> None:
    """0 s is "never" (Envoy), not "unset"."""
    both = http_protocol_options(ConnectionPool(http_idle_timeout=timedelta(), tcp_idle_timeout=SECOND), Protocol.HTTP)
    tcp = http_protocol_options(ConnectionPool(tcp_idle_timeout=SECOND), Protocol.HTTP)

    assert both is not None
    assert both.common_http_protocol_options is not None
    assert both.common_http_protocol_options.idle_timeout == timedelta()
    assert tcp is not None
    assert tcp.common_http_protocol_options is not None
    assert tcp.common_http_protocol_options.idle_timeout == SECOND


def test_streams_and_pings_are_settings_of_http2_alone() -> None:
    pool = ConnectionPool(max_concurrent_streams=20, http2_keepalive=(SECOND, 2 * SECOND))

    options = http_protocol_options(pool, Protocol.GRPC)

    assert options is not None
    assert options.explicit_http_config is not None
    http2 = options.explicit_http_config.http2_protocol_options
    assert http2 is not None
    assert http2.max_concurrent_streams == 20
    assert http2.connection_keepalive is not None
    assert http2.connection_keepalive.interval == SECOND
    assert http2.connection_keepalive.timeout == 2 * SECOND
    assert http_protocol_options(pool, Protocol.HTTP) is None


def test_error_codes_need_options_even_where_nothing_else_does() -> None:
    options = http_protocol_options(ConnectionPool(), Protocol.HTTP, error_matcher(("503",)))

    assert options is not None
    assert options.outlier_detection is not None
    assert options.outlier_detection.error_matcher == error_matcher(("503",))
    assert options.explicit_http_config is not None  # Envoy refuses options that choose no protocol


@pytest.mark.parametrize(
    ("protocol", "field"),
    [
        (Protocol.HTTP, "explicit_http_config"),
        (Protocol.AUTO, "use_downstream_protocol_config"),
        (Protocol.GRPC, None),
        (Protocol.TCP, None),
    ],
)
def test_names_of_headers_stay_as_they_came_wherever_http_1_may_be_spoken(
    protocol: Protocol, field: str | None
) -> None:
    found = http_protocol_options(ConnectionPool(), protocol, keeps_case=True)
    told = shown(found) if found else {}

    spelt = {name for name, options in told.items() if "header_key_format" in options.get("http_protocol_options", {})}
    assert spelt == ({field} if field else set())
