"""The PROXY header in front of each connection: DestinationRule proxyProtocol."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.transport_sockets.proxy_protocol import v3 as proxy_protocol_v3

from xds_server.translate.encode import any_of
from xds_server.translate.raw_buffer import RAW_BUFFER

_VERSIONS = {"V1": core_v3.ProxyProtocolConfigVersion.V1, "V2": core_v3.ProxyProtocolConfigVersion.V2}


def with_proxy_protocol(inner: core_v3.TransportSocket | None, version: str) -> core_v3.TransportSocket | None:
    """`inner`, a plain connection when it is None, behind the header of `version` ("V1", "V2", or "" for none)."""
    if not version:
        return inner
    outer = proxy_protocol_v3.ProxyProtocolUpstreamTransport(
        config=core_v3.ProxyProtocolConfig(version=_VERSIONS[version]), transport_socket=inner or RAW_BUFFER
    )
    return core_v3.TransportSocket(name="envoy.transport_sockets.upstream_proxy_protocol", typed_config=any_of(outer))
