"""What others report of a document: the part of `status` that decides something (istio.io, IstioStatus).

A status is written by machines, so one that says nothing we understand is passed over, never a mistake of the author's.
"""

from __future__ import annotations

from collections.abc import Mapping

from xds_server.ip_address import is_ip_address


def condition(status: object, kind: str) -> bool | None:
    """Whether the condition of that type holds; None when it is not reported, or is unknown. The last one counts."""
    written = status.get("conditions") if isinstance(status, Mapping) else None
    found = None
    for each in written if isinstance(written, list) else ():
        if isinstance(each, Mapping) and each.get("type") == kind:
            found = _VALUES.get(str(each.get("status")))
    return found


def address(status: object, host: str) -> str:
    """The IPv4 address that somebody else gave to a ServiceEntry's host; "" for none (istio.io, ServiceEntryStatus)."""
    written = status.get("addresses") if isinstance(status, Mapping) else None
    for each in written if isinstance(written, list) else ():
        if isinstance(each, Mapping) and each.get("host", host) == host and _is_ipv4(each.get("value")):
            return str(each["value"])
    return ""


def _is_ipv4(value: object) -> bool:
    return isinstance(value, str) and ":" not in value and is_ip_address(value)


_VALUES = {"True": True, "False": False}
"""Kubernetes writes them as text; YAML written by hand may hold the boolean, whose text is the same."""
