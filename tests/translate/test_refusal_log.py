"""What a listener tells of connections that it did not let in; `tests/envoy/test_mtls.py` reads it."""

from __future__ import annotations

from tests.translate.shown import shown
from xds_server.translate.refusal_log import refusal_log


def test_only_refusals_are_told() -> None:
    """A line for each connection would be an access log that nobody asked for."""
    either = shown(refusal_log())["filter"]["or_filter"]["filters"]

    assert either[0] == {"response_flag_filter": {"flags": ["NR"]}}
    assert either[1]["extension_filter"]["typed_config"]["expression"] == "connection.transport_failure_reason != ''"


def test_reason_is_told() -> None:
    line = shown(refusal_log())["typed_config"]["log_format"]["text_format_source"]["inline_string"]

    assert "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%" in line
    assert line.endswith("\n")
