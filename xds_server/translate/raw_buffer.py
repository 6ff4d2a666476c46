"""The transport socket that adds nothing: bytes as they are."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.raw_buffer import v3 as raw_buffer_v3

from xds_server.translate.encode import any_of

RAW_BUFFER = core_v3.TransportSocket(
    name="envoy.transport_sockets.raw_buffer", typed_config=any_of(raw_buffer_v3.RawBuffer())
)
