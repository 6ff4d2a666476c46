"""What chance may bring, for tests of what is decided at random."""

from __future__ import annotations

import math

CHANCE = 1e-9
"""How seldom a test of a share may fail though all is well."""


def likely(requests: int, share: float) -> range:
    """How many of so many requests are chosen when each is with this probability, but for one time in 1 / CHANCE."""
    chances = [
        math.exp(
            math.lgamma(requests + 1) - math.lgamma(hits + 1) - math.lgamma(requests - hits + 1)
            + hits * math.log(share) + (requests - hits) * math.log1p(-share)
        )
        for hits in range(requests + 1)
    ]  # fmt: skip
    below = next(hits for hits in range(requests + 1) if math.fsum(chances[: hits + 1]) > CHANCE / 2)
    above = next(hits for hits in range(requests, -1, -1) if math.fsum(chances[hits:]) > CHANCE / 2)
    return range(below, above + 1)
