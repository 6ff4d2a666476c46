"""TLS of the port, as far as no connection is needed; `tests/test_security.py` has the others."""

from __future__ import annotations

import pytest

from xds_server.server.tls import PortCertificate, is_current


@pytest.mark.parametrize(
    ("context", "current"),
    [
        ({}, True),
        ({"ssl_tls_version": [b"TLSv1.3"]}, True),
        ({"ssl_tls_version": [b"TLSv1.2"]}, False),
        ({"ssl_tls_version": [b""]}, False),
    ],
    ids=str,
)
def test_only_plaintext_and_tls_1_3_are_served(context: dict[str, list[bytes]], current: bool) -> None:
    assert is_current(context) is current


def test_key_is_not_in_the_repr() -> None:
    assert "canary" not in repr(PortCertificate(b"chain", b"canary", b"roots"))
