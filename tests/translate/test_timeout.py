"""Timeouts of a route."""

from __future__ import annotations

from datetime import timedelta

from xds_server.translate.timeout import inbound_stream_duration, request_timeout, stream_duration


def test_no_timeout_is_written_as_zero() -> None:
    """Absent would be Envoy's own 15 s."""
    assert request_timeout(None) == timedelta(0)


def test_route_with_a_timeout_has_no_stream_duration() -> None:
    """Envoy ignores the timeout of a route that has one."""
    assert request_timeout(timedelta(seconds=5)) == timedelta(seconds=5)
    assert stream_duration(timedelta(seconds=5)) is None


def test_deadline_of_a_grpc_caller_is_the_limit_where_the_route_has_none() -> None:
    """Zero takes the caller's grpc-timeout as it is."""
    duration = stream_duration(None)

    assert duration is not None
    assert duration.grpc_timeout_header_max == timedelta(0)
    assert duration.max_stream_duration is None


def test_inbound_lets_the_callers_sidecar_decide() -> None:
    """Neither a stream limit of the listener nor a grpc-timeout header ends an inbound request."""
    duration = inbound_stream_duration()

    assert (duration.max_stream_duration, duration.grpc_timeout_header_max) == (timedelta(0), timedelta(0))
