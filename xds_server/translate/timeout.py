"""How long a request may take. Istio's default is no limit; Envoy's own is 15 seconds, so it is always written."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.route import v3 as route_v3

NO_LIMIT = timedelta(0)
"""Zero is how Envoy is told "no timeout"; absent would mean its default."""


def request_timeout(timeout: timedelta | None) -> timedelta:
    """Value of RouteAction.timeout; None is no limit."""
    return NO_LIMIT if timeout is None else timeout


def stream_duration(timeout: timedelta | None) -> route_v3.RouteActionMaxStreamDuration | None:
    """Beside `request_timeout`: without a limit of ours, a gRPC caller's own deadline (grpc-timeout) is the limit.

    With a limit it must be absent: Envoy ignores RouteAction.timeout on every route that has it (measured on 1.40).
    Istio says both with max_grpc_timeout, which Envoy has deprecated and warns of for every route at every push.
    """
    return route_v3.RouteActionMaxStreamDuration(grpc_timeout_header_max=NO_LIMIT) if timeout is None else None


def inbound_stream_duration() -> route_v3.RouteActionMaxStreamDuration:
    """Towards the application the caller's sidecar has decided already: no limit, a grpc-timeout header included."""
    return route_v3.RouteActionMaxStreamDuration(max_stream_duration=NO_LIMIT, grpc_timeout_header_max=NO_LIMIT)
