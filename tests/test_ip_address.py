"""What counts as an IP address."""

from __future__ import annotations

import pytest

from xds_server.ip_address import is_ip_address


@pytest.mark.parametrize("text", ["10.0.0.1", "::1", "::ffff:10.0.0.1", "2001:db8::"])
def test_addresses_of_both_families(text: str) -> None:
    assert is_ip_address(text)


@pytest.mark.parametrize("text", ["", "reviews", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.0/8", "[::1]"])
def test_what_is_written_otherwise_is_none(text: str) -> None:
    assert not is_ip_address(text)
