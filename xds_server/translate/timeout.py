"""How long a request may take. Istio's default is no limit; Envoy's own is 15 seconds, so it is always written."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.route import v3 as route_v3

NO_LIMIT = timedelta(0)
"""Zero is how Envoy is told "no timeout"; absent would mean its default."""


def request_timeout(timeout: timedelta | None) -> timedelta:
    """Value of RouteAction.timeout; None is no limit."""
    return NO_LIMIT if timeout is None else timeout


def stream_duration(timeout: timedelta | None) -> route_v3.RouteActionMaxStreamDuration:
    """What a gRPC caller's own deadline may be at most; None takes it as it is.

    Istio says this with RouteAction.max_grpc_timeout, which Envoy has deprecated in favour of this field: it logs two
    warnings for every route that has it, at every push.
    """
    return route_v3.RouteActionMaxStreamDuration(grpc_timeout_header_max=request_timeout(timeout))


def inbound_stream_duration() -> route_v3.RouteActionMaxStreamDuration:
    """Towards the application the caller's sidecar has decided already: no limit, a grpc-timeout header included."""
    return route_v3.RouteActionMaxStreamDuration(max_stream_duration=NO_LIMIT, grpc_timeout_header_max=NO_LIMIT)
