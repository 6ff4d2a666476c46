"""What an unquoted scalar means."""

from __future__ import annotations

import math

import pytest

from xds_server.store.yaml_scalar import Scalar, plain_scalar


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"])
def test_a_word_of_yaml_1_1_is_true(text: str) -> None:
    assert plain_scalar(text) is True


@pytest.mark.parametrize("text", ["false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"])
def test_a_word_of_yaml_1_1_is_false(text: str) -> None:
    assert plain_scalar(text) is False


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_nothing_is_null(text: str) -> None:
    assert plain_scalar(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("80", 80),
        ("-1", -1),
        ("+7", 7),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0b101", 5),
        ("0o17", 15),
        ("010", 8),
    ],
)
def test_an_integer_is_read_as_go_reads_it(text: str, number: int) -> None:
    value = plain_scalar(text)

    assert (value, type(value)) == (number, int)


@pytest.mark.parametrize(
    ("text", "number"), [("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("-2.", -2.0), ("-.inf", -math.inf)]
)
def test_a_float_is_read_as_go_reads_it(text: str, number: float) -> None:
    value = plain_scalar(text)

    assert (value, type(value)) == (number, float)


def test_not_a_number_is_a_float() -> None:
    value = plain_scalar(".NaN")

    assert isinstance(value, float)
    assert math.isnan(value)


def test_a_number_that_fits_no_64_bits_is_a_float() -> None:
    assert isinstance(plain_scalar("9" * 30), float)


@pytest.mark.parametrize(
    "text",
    ["12:30:45", "2001-01-01", "5s", "1.2.3.4", "1.40.0", "-", "+", ".", "9" * 5000, "0x", "1e"],
)
def test_what_is_no_number_stays_text(text: str) -> None:
    value: Scalar = plain_scalar(text)

    assert value == text
