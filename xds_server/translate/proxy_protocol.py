"""The PROXY header in front of each connection: DestinationRule proxyProtocol."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.proxy_protocol import v3 as proxy_protocol_v3
from envoy_data_plane.envoy.extensions.transport_sockets.raw_buffer import v3 as raw_buffer_v3

from xds_server.translate.encode import any_of

_VERSIONS = {"V1": core_v3.ProxyProtocolConfigVersion.V1, "V2": core_v3.ProxyProtocolConfigVersion.V2}


def proxy_protocol_socket(version: str) -> core_v3.TransportSocket | None:
    """A plain connection that starts with the header of `version` ("V1" or "V2"); None for ""."""
    if not version:
        return None
    inner = core_v3.TransportSocket(
        name="envoy.transport_sockets.raw_buffer", typed_config=any_of(raw_buffer_v3.RawBuffer())
    )
    header = core_v3.ProxyProtocolConfig(version=_VERSIONS[version])
    outer = proxy_protocol_v3.ProxyProtocolUpstreamTransport(config=header, transport_socket=inner)
    return core_v3.TransportSocket(name="envoy.transport_sockets.upstream_proxy_protocol", typed_config=any_of(outer))
