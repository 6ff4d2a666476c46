"""Limits of connections from callers, as an HTTP connection manager is told them."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3

from xds_server.mesh.proxy_settings import ConnectionLimits, Underscores

_Action = core_v3.HttpProtocolOptionsHeadersWithUnderscoresAction


def caller_options(limits: ConnectionLimits) -> core_v3.HttpProtocolOptions | None:
    """What holds for connections in whichever HTTP; None is nothing that Envoy does not do by itself."""
    found = core_v3.HttpProtocolOptions(
        idle_timeout=limits.idle,
        max_connection_duration=limits.max_connection,
        max_stream_duration=limits.max_stream,
        headers_with_underscores_action=_UNDERSCORES[limits.underscores or Underscores.ALLOW],
    )
    return None if found == core_v3.HttpProtocolOptions() else found


def caller_http2_options(limits: ConnectionLimits) -> core_v3.Http2ProtocolOptions | None:
    """The same for HTTP/2 alone."""
    if limits.streams is None and limits.stream_window is None and limits.connection_window is None:
        return None
    return core_v3.Http2ProtocolOptions(
        max_concurrent_streams=limits.streams,
        initial_stream_window_size=limits.stream_window,
        initial_connection_window_size=limits.connection_window,
    )


_UNDERSCORES = {
    Underscores.ALLOW: _Action.ALLOW,
    Underscores.REJECT_REQUEST: _Action.REJECT_REQUEST,
    Underscores.DROP_HEADER: _Action.DROP_HEADER,
}
