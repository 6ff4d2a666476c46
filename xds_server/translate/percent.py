"""Percentages as Envoy takes them: fractions of a million, so that 0.0001 % can still be said."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.type import v3 as type_v3

_PER_PERCENT = 10_000


def fractional_percent(percent: float) -> type_v3.FractionalPercent:
    """`percent` from 0 to 100, to four decimals."""
    return type_v3.FractionalPercent(
        numerator=round(percent * _PER_PERCENT), denominator=type_v3.FractionalPercentDenominatorType.MILLION
    )


def runtime_percent(percent: float) -> core_v3.RuntimeFractionalPercent:
    """The same where Envoy lets its runtime override it; no runtime key is set, so it never does."""
    return core_v3.RuntimeFractionalPercent(default_value=fractional_percent(percent))
