from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.core.v3 import ProxyProtocolConfigVersion
from envoy_data_plane.envoy.extensions.transport_sockets.proxy_protocol import v3 as proxy_protocol_v3

from xds_server.translate.proxy_protocol import with_proxy_protocol


@pytest.mark.parametrize(
    ("asked", "version"), [("V1", ProxyProtocolConfigVersion.V1), ("V2", ProxyProtocolConfigVersion.V2)]
)
def test_the_header_goes_in_front_of_a_plain_connection(asked: str, version: ProxyProtocolConfigVersion) -> None:
    found = with_proxy_protocol(None, asked)

    assert found is not None
    assert found.typed_config is not None
    config = found.typed_config.unpack()
    assert isinstance(config, proxy_protocol_v3.ProxyProtocolUpstreamTransport)
    assert config.config is not None
    assert config.config.version is version
    assert config.transport_socket is not None
    assert config.transport_socket.name == "envoy.transport_sockets.raw_buffer"


def test_no_header_leaves_the_connection_as_it_is() -> None:
    assert with_proxy_protocol(None, "") is None
