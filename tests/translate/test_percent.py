"""Percentages."""

from __future__ import annotations

import pytest

from tests.translate.shown import shown
from xds_server.translate.percent import fractional_percent, runtime_percent


@pytest.mark.parametrize(("percent", "numerator"), [(100, 1_000_000), (12.5, 125_000), (0.0001, 1), (0.3, 3000)])
def test_percent_is_a_count_out_of_a_million(percent: float, numerator: int) -> None:
    """0.3 * 10,000 is 2999.999...: it must not be cut off."""
    assert shown(fractional_percent(percent)) == {"numerator": numerator, "denominator": "MILLION"}


def test_no_percent_at_all_is_zero() -> None:
    """Nobody is affected, which is not the same as an absent percentage."""
    assert shown(fractional_percent(0)) == {"denominator": "MILLION"}


def test_runtime_percent_has_no_key_that_could_override_it() -> None:
    assert shown(runtime_percent(50)) == {"default_value": {"numerator": 500_000, "denominator": "MILLION"}}
