"""Limits of TLS."""

from __future__ import annotations

from tests.translate.shown import shown
from xds_server.mesh.proxy_settings import TlsLimits
from xds_server.translate.tls_parameters import tls_parameters


def test_tls_is_1_2_to_1_3_where_nothing_is_said() -> None:
    assert shown(tls_parameters(TlsLimits())) == {
        "tls_minimum_protocol_version": "TLSv1_2",
        "tls_maximum_protocol_version": "TLSv1_3",
    }


def test_versions_ciphers_and_curves_are_as_asked() -> None:
    found = shown(tls_parameters(TlsLimits("TLSV1_1", ("AES128-GCM-SHA256",), ("P-256",)), "TLSV1_2"))

    assert found == {
        "tls_minimum_protocol_version": "TLSv1_1",
        "tls_maximum_protocol_version": "TLSv1_2",
        "cipher_suites": ["AES128-GCM-SHA256"],
        "ecdh_curves": ["P-256"],
    }
