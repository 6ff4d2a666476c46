"""How names of headers are spelt in HTTP/1."""

from __future__ import annotations

from tests.translate.shown import shown
from xds_server.translate.header_case import http1_options


def test_names_are_in_small_letters_unless_they_are_to_stay() -> None:
    assert shown(http1_options(keeps_case=False)) == {}

    formatter = shown(http1_options(keeps_case=True))["header_key_format"]["stateful_formatter"]
    assert formatter["typed_config"]["@type"].endswith("PreserveCaseFormatterConfig")
