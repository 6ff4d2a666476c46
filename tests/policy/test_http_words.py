"""The words of HTTP and of Envoy's router."""

from __future__ import annotations

import pytest

from xds_server.policy.http_words import (
    header_value_error,
    is_authority,
    is_header_name,
    is_matchable,
    is_retry_condition,
)


@pytest.mark.parametrize(
    ("name", "good"), [("x-a", True), ("X_A!", True), ("", False), ("a b", False), (":path", False)]
)
def test_header_names_are_tokens(name: str, good: bool) -> None:
    assert is_header_name(name) is good


@pytest.mark.parametrize("name", ["x-a", ":path", "@request.auth.claims.sub", "@request.auth.claims[a.b]"])
def test_pseudo_headers_and_claims_can_be_matched_too(name: str) -> None:
    assert is_matchable(name)
    assert not is_matchable(f"{name} {name}".replace("@", " "))


@pytest.mark.parametrize(
    "value", ["", "a b", "100%%", "%REQ(:path)%", "a\tb", "%START_TIME(%s)%", "%CEL(f('x'))%%%", "x" * 16384]
)
def test_values_may_hold_envoys_variables(value: str) -> None:
    assert header_value_error(value) == ""


@pytest.mark.parametrize("value", ["50%", "%A%%", "a\nb", "a\x00", "pa%ss%w0rd", "%REQ(a%", "a\udcff", "é" * 8193])
def test_values_that_envoy_cannot_read(value: str) -> None:
    assert header_value_error(value)


def test_the_authority_has_two_names() -> None:
    assert is_authority("Host")
    assert is_authority(":authority")
    assert not is_authority("x-host")


@pytest.mark.parametrize("word", ["5xx", "unavailable", "503"])
def test_retry_conditions_are_words_and_status_codes(word: str) -> None:
    assert is_retry_condition(word)
    assert not is_retry_condition(f"{word}9")
