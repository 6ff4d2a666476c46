"""Limits of connections from callers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.translate.shown import shown
from xds_server.mesh.proxy_settings import EDGE_LIMITS, NO_LIMITS, ConnectionLimits, Underscores
from xds_server.translate.connection_limits import caller_http2_options, caller_options


def test_nothing_written_says_nothing() -> None:
    assert caller_options(NO_LIMITS) is None
    assert caller_http2_options(NO_LIMITS) is None


def test_edges_are_limited_as_envoy_advises() -> None:
    common, http2 = caller_options(EDGE_LIMITS), caller_http2_options(EDGE_LIMITS)

    assert common is not None
    assert http2 is not None
    assert shown(common) == {"idle_timeout": "3600s", "headers_with_underscores_action": "REJECT_REQUEST"}
    assert shown(http2) == {
        "max_concurrent_streams": 100,
        "initial_stream_window_size": 65536,
        "initial_connection_window_size": 1048576,
    }


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (ConnectionLimits(idle=timedelta(0)), {"idle_timeout": "0s"}),
        (ConnectionLimits(max_connection=timedelta(hours=1)), {"max_connection_duration": "3600s"}),
        (ConnectionLimits(max_stream=timedelta(minutes=1)), {"max_stream_duration": "60s"}),
        (
            ConnectionLimits(underscores=Underscores.DROP_HEADER),
            {"headers_with_underscores_action": "DROP_HEADER"},
        ),
    ],
)
def test_each_limit_is_told(limits: ConnectionLimits, found: dict[str, str]) -> None:
    options = caller_options(limits)

    assert options is not None
    assert shown(options) == found
