from __future__ import annotations

from tests.translate.shown import shown
from xds_server.translate.raw_buffer import RAW_BUFFER


def test_it_is_envoys_and_says_nothing() -> None:
    assert shown(RAW_BUFFER)["typed_config"] == {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    }
