"""What counts as an IP address, for every layer."""

from __future__ import annotations

import ipaddress


def is_ip_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
