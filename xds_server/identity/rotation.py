"""When a certificate is renewed: a pure function of its dates and a random number."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

Random = Callable[[], float]
"""A number from 0 to 1, another each time."""

_PART = 0.5
_JITTER = 0.1


def renewal_time(begin: datetime, end: datetime, random: Random) -> datetime:
    """Half-way through its life, give or take a tenth of that: what began at once is not renewed at once.

    Istio renews at half of life too (SECRET_GRACE_PERIOD_RATIO); SPIRE's jitter is this one.

    Args:
        begin: when the certificate was issued; the backdating is no part of its life.
        end: when it expires.
        random: drawn from once.
    """
    return begin + (end - begin) * _PART * (1 - _JITTER + 2 * _JITTER * random())
