"""TLS towards clients."""

from __future__ import annotations

from xds_server.policy.server_tls import ServerTLSMode, ServerTLSSettings, TLSProtocol


def test_an_empty_block_is_protos_zero_values() -> None:
    settings = ServerTLSSettings.model_validate({})

    assert (settings.mode, settings.min_protocol_version) == (ServerTLSMode.PASSTHROUGH, TLSProtocol.TLS_AUTO)


def test_curves_are_read_though_the_published_proto_lacks_them() -> None:
    assert ServerTLSSettings.model_validate({"ecdhCurves": ["P-256"]}).ecdh_curves == ("P-256",)
