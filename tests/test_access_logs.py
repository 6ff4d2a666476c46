"""What `xds-server logs` shows of an entry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.envoy.running import free_port
from tests.telemetry.values import entry
from xds_server.access_logs import entries, has_failed, line
from xds_server.errors import ConfigurationError
from xds_server.settings import Address
from xds_server.telemetry.log_entry import LogEntry


def read(found: LogEntry) -> Mapping[str, Any]:
    """As it comes off the debug port."""
    value: Mapping[str, Any] = json.loads(json.dumps(found.as_json()))
    return value


def shown(**more: Any) -> str:
    return line(read(entry(**more))).plain


def test_a_good_request_is_one_line() -> None:
    text = shown()

    assert text.endswith("200     12.3 ms  web.shop → reviews  GET /1")
    assert "\n" not in text


def test_flags_are_said_in_words_with_where_to_look() -> None:
    first, second = shown(status=503, flags=("UO", "URX"), details="overflow", attempts=3).splitlines()

    assert first.endswith("GET /1  (3 attempts)")
    assert "UO circuit breaker overflow: too many connections or requests at once" in second
    assert "(DestinationRule connectionPool)" in second
    assert "URX retries exhausted" in second
    assert second.endswith("overflow")


def test_what_came_in_names_the_caller() -> None:
    """By its certificate, where it had one; else by its address."""
    principal = "spiffe://cluster.local/ns/shop/sa/api"

    assert "web.shop ← 10.0.0.1:4000" in shown(cluster="inbound|8080||")
    assert f"web.shop ← {principal}" in shown(cluster="inbound|8080||", principal=principal)


def test_a_connection_has_bytes_instead_of_a_request() -> None:
    text = shown(protocol="TCP", method="", path="", status=0, received=7, sent=9)

    assert text.endswith("TCP, 7 bytes in, 9 out")
    assert "  -  " in text


def test_nothing_that_a_caller_chose_is_obeyed_by_a_terminal() -> None:
    assert "/?[31mred?" in shown(path="/\x1b[31mred\x07")


@pytest.mark.parametrize(
    ("found", "failed"),
    [(entry(), False), (entry(status=404), False), (entry(status=500), True), (entry(flags=("DC",)), True)],
)
def test_what_is_a_failure(found: LogEntry, failed: bool) -> None:
    assert has_failed(read(found)) is failed


def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigurationError, match="--server"):
        list(entries(Address("127.0.0.1", free_port())))
