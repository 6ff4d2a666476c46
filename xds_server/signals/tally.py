"""The numbers of one edge, since the server started."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from xds_server.signals.edge import Side
from xds_server.signals.quantity import GRPC_ERRORS, GRPC_RESPONSES, RESPONSES, Count

BOUNDS = (
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0,
    30000.0, 60000.0, 300000.0, 600000.0, 1800000.0, 3600000.0,
)  # fmt: skip
"""Upper bounds of the buckets that Envoy sorts durations into, in milliseconds."""


@dataclass(slots=True)
class Tally:
    """What was counted.

    Attributes:
        counts: by `Count`.
        within: how many requests took no longer than each of `BOUNDS`.
        timed: how many were timed: those that somebody answered.
        duration: of all of them together, in milliseconds.
    """

    counts: list[float] = field(default_factory=lambda: [0.0] * len(Count))
    within: list[int] = field(default_factory=lambda: [0] * len(BOUNDS))
    timed: int = 0
    duration: float = 0.0

    @property
    def requests(self) -> int:
        """That were answered, by the other side or by the proxy."""
        return int(sum(self.counts[count] for count in RESPONSES.values()))

    @property
    def grpc_responses(self) -> int:
        """Calls of gRPC that ended with a status."""
        return int(sum(self.counts[count] for count in GRPC_RESPONSES.values()))

    @property
    def grpc_errors(self) -> int:
        """Those of them whose status is the server's fault."""
        return int(sum(self.counts[count] for count in GRPC_ERRORS.values()))

    def errors(self, side: Side) -> int:
        """Requests that were answered 5xx, or by gRPC with a status that is the server's fault.

        What a caller's proxy answers itself to a call of gRPC, it counts both ways: 5xx, and UNAVAILABLE. So at the
        source as many of the one are taken to be the other; where HTTP and gRPC fail alike, that may be too many.
        """
        answered, unavailable = self.counts[Count.RESPONSES_5XX], self.counts[Count.GRPC_UNAVAILABLE]
        twice = min(answered, unavailable) if side is Side.SOURCE else 0
        return int(answered + self.grpc_errors - twice)

    def copy(self) -> Tally:
        """As it is now."""
        return Tally(self.counts.copy(), self.within.copy(), self.timed, self.duration)

    def since(self, former: Tally) -> Tally:
        """What was counted since it was as `former`."""
        return Tally(
            [now - then for now, then in zip(self.counts, former.counts, strict=True)],
            [now - then for now, then in zip(self.within, former.within, strict=True)],
            self.timed - former.timed,
            self.duration - former.duration,
        )

    def add(self, other: Tally) -> None:
        """Count what another counted too."""
        self.counts[:] = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.within[:] = [a + b for a, b in zip(self.within, other.within, strict=True)]
        self.timed += other.timed
        self.duration += other.duration

    def time(self, timed: int, duration: float, buckets: Sequence[tuple[float, int]]) -> None:
        """Add `timed` requests that took `duration` together.

        Args:
            timed: how many.
            duration: in milliseconds.
            buckets: (upper bound, how many took no longer), sorted, those left out of which the last holds as well;
                any bounds, though others than `BOUNDS` cost precision.
        """
        self.timed += timed
        self.duration += duration
        bounds = tuple(bound for bound, _ in buckets)
        if bounds and bounds == BOUNDS[: len(bounds)]:
            counts = [count for _, count in buckets]
            counts += counts[-1:] * (len(BOUNDS) - len(counts))
            self.within = [before + more for before, more in zip(self.within, counts, strict=True)]
            return
        for at, bound in enumerate(BOUNDS):
            place = bisect_left(bounds, bound)
            known = place if place < len(bounds) and bounds[place] == bound else place - 1
            self.within[at] += buckets[known][1] if known >= 0 else 0

    def quantile(self, part: float) -> float | None:
        """How long the given part of all requests took at most, in milliseconds; None when none was timed.

        Interpolated within its bucket, as Prometheus' histogram_quantile does; the last bound stands for all beyond.
        """
        if self.timed <= 0:
            return None
        rank = part * self.timed
        at = bisect_left(self.within, rank)
        if at == len(BOUNDS):
            return BOUNDS[-1]
        low, below = (BOUNDS[at - 1], self.within[at - 1]) if at else (0.0, 0)
        inside = self.within[at] - below
        return low + (BOUNDS[at] - low) * (rank - below) / inside if inside else BOUNDS[at]
