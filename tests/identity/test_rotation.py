"""When certificates are renewed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.identity.material import NOW
from xds_server.identity.rotation import renewal_time

DAY = timedelta(hours=24)


@pytest.mark.parametrize(("random", "hours"), [(0.0, 10.8), (0.5, 12.0), (1.0, 13.2)])
def test_renewal_is_at_half_of_life_give_or_take_a_tenth(random: float, hours: float) -> None:
    assert renewal_time(NOW, NOW + DAY, lambda: random) == NOW + timedelta(hours=hours)


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=4000)), st.floats(0, 1))
def test_renewal_is_always_within_the_middle_of_life(life: timedelta, random: float) -> None:
    moment = renewal_time(NOW, NOW + life, lambda: random)

    assert 0.44 * life <= moment - NOW <= 0.56 * life
