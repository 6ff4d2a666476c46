"""Filter chains and listener filters."""

from __future__ import annotations

from tests.translate.shown import shown
from xds_server.translate.filter_chain import cidr_range, http_inspector


def test_range_is_told_by_its_address_and_length() -> None:
    assert shown(cidr_range("10.0.0.0/8")) == {"address_prefix": "10.0.0.0", "prefix_len": 8}
    assert shown(cidr_range("0.0.0.0/0")) == {"address_prefix": "0.0.0.0", "prefix_len": 0}


def test_http_is_looked_for_everywhere_unless_told_otherwise() -> None:
    assert "filter_disabled" not in shown(http_inspector())


def test_declared_port_is_not_looked_at() -> None:
    """Where the server speaks first, looking would wait for ever."""
    assert shown(http_inspector([3306]))["filter_disabled"] == {"destination_port_range": {"start": 3306, "end": 3307}}


def test_several_declared_ports_are_one_condition() -> None:
    """Sorted, each once: Envoy takes an or_match of two rules or more."""
    rules = shown(http_inspector([90, 80, 90]))["filter_disabled"]["or_match"]["rules"]

    assert [rule["destination_port_range"]["start"] for rule in rules] == [80, 90]
