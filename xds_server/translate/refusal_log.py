"""What a listener tells of connections that it did not let in.

A caller whose certificate is refused sees nothing but a closed connection: under TLS 1.3 its own handshake is over by
then. So the reason has to be found at the listener, and goes to Envoy's standard output.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog import v3 as accesslog_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.access_loggers.stream import v3 as stream_v3

from xds_server.translate.access_log import expression, no_chain
from xds_server.translate.encode import any_of

_FORMAT = (
    "[%START_TIME%] connection refused: local=%DOWNSTREAM_LOCAL_ADDRESS% "
    "remote=%DOWNSTREAM_REMOTE_ADDRESS% sni=%REQUESTED_SERVER_NAME% peer=%DOWNSTREAM_PEER_URI_SAN% "
    "flags=%RESPONSE_FLAGS% reason=%DOWNSTREAM_TRANSPORT_FAILURE_REASON%\n"
)
_TLS_FAILED = "connection.transport_failure_reason != ''"


def refusal_log() -> accesslog_v3.AccessLog:
    """The listener's access log: a line for each connection that no chain took, or whose TLS failed."""
    line = core_v3.SubstitutionFormatString(text_format_source=core_v3.DataSource(inline_string=_FORMAT))
    return accesslog_v3.AccessLog(
        name="envoy.access_loggers.stdout",
        filter=accesslog_v3.AccessLogFilter(
            or_filter=accesslog_v3.OrFilter(filters=[no_chain(), expression(_TLS_FAILED)])
        ),
        typed_config=any_of(stream_v3.StdoutAccessLog(log_format=line)),
    )
