"""Limits and settings of connections to endpoints: DestinationRule connectionPool and retryBudget.

Source: Istio, DestinationRule ConnectionPoolSettings; Envoy, "Circuit breaking" and HttpProtocolOptions.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.common.matcher import v3 as matcher_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as http_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from xds_server.mesh.service import Protocol
from xds_server.mesh.traffic import ConnectionPool, H2Upgrade, RetryBudget, TcpKeepalive
from xds_server.translate.encode import shared
from xds_server.translate.header_case import http1_options


@shared
def circuit_breakers(pool: ConnectionPool, budget: RetryBudget | None = None) -> cluster_v3.CircuitBreakers:
    """The limits; Istio writes all four, so that Envoy's own (1024, and 3 retries) never hold.

    One read-only message for all that say the same: most services do, and making one takes long.
    """
    limits = cluster_v3.CircuitBreakersThresholds(
        max_connections=pool.max_connections,
        max_pending_requests=pool.max_pending_requests,
        max_requests=pool.max_requests,
        max_retries=pool.max_retries,
        retry_budget=_retry_budget(budget) if budget else None,
    )
    return cluster_v3.CircuitBreakers(thresholds=[limits])


def upstream_connection_options(pool: ConnectionPool) -> cluster_v3.UpstreamConnectionOptions | None:
    """TCP keepalive, where it was asked for."""
    if pool.tcp_keepalive is None:
        return None
    return cluster_v3.UpstreamConnectionOptions(tcp_keepalive=_tcp_keepalive(pool.tcp_keepalive))


def http_protocol_options(
    pool: ConnectionPool,
    protocol: Protocol,
    error_matcher: matcher_v3.MatchPredicate | None = None,
    upstream: core_v3.UpstreamHttpProtocolOptions | None = None,
    *,
    keeps_case: bool = False,
) -> http_v3.HttpProtocolOptions | None:
    """Which HTTP is spoken to endpoints, and its settings; None is HTTP/1.1 as Envoy has it.

    HTTP/2 where the port is declared so or the author asked for an upgrade, what the client spoke on a port whose
    protocol is detected (an application that never saw HTTP/2 must not get it), else HTTP/1.1.
    """
    common = _common_options(pool)
    explicit, downstream = None, None
    if speaks_http2(pool, protocol):
        explicit = http_v3.HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=_http2_options(pool))
    elif pool.use_client_protocol or protocol is Protocol.AUTO:
        downstream = downstream_protocol(keeps_case=keeps_case)
    elif common is not None or error_matcher is not None or upstream is not None or (keeps_case and protocol.is_http):
        http1 = http1_options(keeps_case=keeps_case)
        explicit = http_v3.HttpProtocolOptionsExplicitHttpConfig(http_protocol_options=http1)
    else:
        return None
    return http_v3.HttpProtocolOptions(
        common_http_protocol_options=common,
        upstream_http_protocol_options=upstream,
        explicit_http_config=explicit,
        use_downstream_protocol_config=downstream,
        outlier_detection=_detection(error_matcher),
    )


def downstream_protocol(*, keeps_case: bool = False) -> http_v3.HttpProtocolOptionsUseDownstreamHttpConfig:
    """The HTTP that the client spoke; both have to be named, or Envoy would not offer HTTP/2."""
    return http_v3.HttpProtocolOptionsUseDownstreamHttpConfig(
        http_protocol_options=http1_options(keeps_case=keeps_case),
        http2_protocol_options=core_v3.Http2ProtocolOptions(),
    )


def _detection(
    error_matcher: matcher_v3.MatchPredicate | None,
) -> http_v3.HttpProtocolOptionsOutlierDetection | None:
    return None if error_matcher is None else http_v3.HttpProtocolOptionsOutlierDetection(error_matcher=error_matcher)


def speaks_http2(pool: ConnectionPool, protocol: Protocol) -> bool:
    """Whether endpoints are always spoken to in HTTP/2."""
    if pool.h2_upgrade is H2Upgrade.UPGRADE and (protocol.is_http or protocol is Protocol.AUTO):
        return True
    return protocol.is_http2 and not pool.use_client_protocol


def _http2_options(pool: ConnectionPool) -> core_v3.Http2ProtocolOptions:
    keepalive = None
    if pool.http2_keepalive is not None:
        interval, timeout = pool.http2_keepalive
        keepalive = core_v3.KeepaliveSettings(interval=interval, timeout=timeout)
    return core_v3.Http2ProtocolOptions(
        max_concurrent_streams=pool.max_concurrent_streams, connection_keepalive=keepalive
    )


def _common_options(pool: ConnectionPool) -> core_v3.HttpProtocolOptions | None:
    idle = pool.http_idle_timeout if pool.http_idle_timeout is not None else pool.tcp_idle_timeout
    if idle is None and pool.max_connection_duration is None and not pool.max_requests_per_connection:
        return None
    return core_v3.HttpProtocolOptions(
        idle_timeout=idle,
        max_connection_duration=pool.max_connection_duration,
        max_requests_per_connection=pool.max_requests_per_connection or None,
    )


def _tcp_keepalive(keepalive: TcpKeepalive) -> core_v3.TcpKeepalive:
    return core_v3.TcpKeepalive(
        keepalive_probes=keepalive.probes,
        keepalive_time=_whole_seconds(keepalive.time),
        keepalive_interval=_whole_seconds(keepalive.interval),
    )


def _whole_seconds(duration: timedelta | None) -> int | None:
    """What the socket option counts in; never 0, which the system refuses."""
    return None if duration is None else max(1, int(duration.total_seconds()))


def _retry_budget(budget: RetryBudget) -> cluster_v3.CircuitBreakersThresholdsRetryBudget:
    return cluster_v3.CircuitBreakersThresholdsRetryBudget(
        budget_percent=type_v3.Percent(value=budget.percent),
        min_retry_concurrency=budget.min_retry_concurrency,
        budget_interval=budget.interval,
    )
