"""Envoy's response flags, in words: the one table (envoyproxy.io, "Access logging", RESPONSE_FLAGS)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag.

    Attributes:
        short: as %RESPONSE_FLAGS% writes it.
        long: as %RESPONSE_FLAGS_LONG% does.
        field: of envoy.data.accesslog.v3.ResponseFlags; "" for one that the access log service leaves out.
        words: what happened.
        look: where the reason is to be found, or "".
        is_harmless: nothing went wrong.
    """

    short: str
    long: str
    field: str
    words: str
    look: str = ""
    is_harmless: bool = False


FLAGS: tuple[Flag, ...] = (
    Flag("LH", "FailedLocalHealthCheck", "failed_local_healthcheck", "the service failed its own health check"),
    Flag(
        "UH",
        "NoHealthyUpstream",
        "no_healthy_upstream",
        "no healthy host to send it to",
        "every endpoint is gone, ejected or fails its health check",
    ),
    Flag("UT", "UpstreamRequestTimeout", "upstream_request_timeout", "the service did not answer in time", "timeout"),
    Flag("LR", "LocalReset", "local_reset", "this proxy reset the stream"),
    Flag("UR", "UpstreamRemoteReset", "upstream_remote_reset", "the service reset the stream"),
    Flag(
        "UF",
        "UpstreamConnectionFailure",
        "upstream_connection_failure",
        "no connection to the service",
        "address, port, mesh TLS, connectTimeout",
    ),
    Flag(
        "UC",
        "UpstreamConnectionTermination",
        "upstream_connection_termination",
        "the service closed the connection in the middle",
    ),
    Flag(
        "UO",
        "UpstreamOverflow",
        "upstream_overflow",
        "circuit breaker overflow: too many connections or requests at once",
        "DestinationRule connectionPool",
    ),
    Flag("NR", "NoRouteFound", "no_route_found", "no route, or no filter chain that takes the connection"),
    Flag("DI", "DelayInjected", "delay_injected", "held up on purpose", "VirtualService fault.delay", is_harmless=True),
    Flag("FI", "FaultInjected", "fault_injected", "failed on purpose", "VirtualService fault.abort"),
    Flag("RL", "RateLimited", "rate_limited", "too many requests: rate limited here"),
    Flag("UAEX", "UnauthorizedExternalService", "unauthorized_details", "the authorization service said no"),
    Flag("RLSE", "RateLimitServiceError", "rate_limit_service_error", "the rate limit service failed"),
    Flag("DC", "DownstreamConnectionTermination", "downstream_connection_termination", "the caller hung up"),
    Flag(
        "URX",
        "UpstreamRetryLimitExceeded",
        "upstream_retry_limit_exceeded",
        "retries exhausted, or connection attempts",
        "VirtualService retries",
    ),
    Flag("SI", "StreamIdleTimeout", "stream_idle_timeout", "nothing was sent for too long"),
    Flag("IH", "InvalidEnvoyRequestHeaders", "invalid_envoy_request_headers", "an x-envoy header has no valid value"),
    Flag("DPE", "DownstreamProtocolError", "downstream_protocol_error", "the caller broke the HTTP protocol"),
    Flag(
        "UMSDR",
        "UpstreamMaxStreamDurationReached",
        "upstream_max_stream_duration_reached",
        "the request lasted longer than it may",
    ),
    Flag("RFCF", "ResponseFromCacheFilter", "response_from_cache_filter", "answered from a cache", is_harmless=True),
    Flag("NFCF", "NoFilterConfigFound", "no_filter_config_found", "a filter did not get its configuration in time"),
    Flag("DT", "DurationTimeout", "duration_timeout", "the connection lasted longer than it may"),
    Flag("UPE", "UpstreamProtocolError", "upstream_protocol_error", "the service broke the HTTP protocol"),
    Flag("NC", "NoClusterFound", "no_cluster_found", "the route leads to a cluster that is not there"),
    Flag("OM", "OverloadManagerTerminated", "overload_manager", "this proxy is overloaded and ended it"),
    Flag("DF", "DnsResolutionFailed", "dns_resolution_failure", "the name of the service did not resolve"),
    Flag("DO", "DropOverload", "", "dropped: the service's endpoints say that they are overloaded"),
    Flag("DR", "DownstreamRemoteReset", "downstream_remote_reset", "the caller reset the stream"),
    Flag("UDO", "UnconditionalDropOverload", "", "dropped: the service's endpoints say that they take nothing"),
)
BY_SHORT = {flag.short: flag for flag in FLAGS}
BY_FIELD = {flag.field: flag for flag in FLAGS if flag.field}


def in_words(short: str) -> str:
    """What a flag says; itself for one that nobody knows."""
    found = BY_SHORT.get(short)
    return found.words if found else short


def is_harmless(short: str) -> bool:
    """Whether a flag tells of nothing that went wrong."""
    found = BY_SHORT.get(short)
    return found is not None and found.is_harmless
