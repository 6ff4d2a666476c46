"""What is made of what was counted: errors, and durations by their buckets."""

from __future__ import annotations

from xds_server.signals.edge import Side
from xds_server.signals.quantity import Count
from xds_server.signals.tally import BOUNDS, Tally


def test_quantiles_are_interpolated_as_prometheus_does() -> None:
    """100 requests: 50 within 10 ms, 90 within 25 ms, 99 within 50 ms, one that took hours."""
    within = {10.0: 50, 25.0: 90, 50.0: 99}
    buckets = [(bound, max((n for upper, n in within.items() if upper <= bound), default=0)) for bound in BOUNDS]
    tally = Tally()
    tally.time(100, 12345.0, buckets)

    assert tally.quantile(0.5) == 10
    assert tally.quantile(0.7) == 10 + 15 * 20 / 40
    assert tally.quantile(0.99) == 50
    assert tally.quantile(0.999) == BOUNDS[-1]
    assert Tally().quantile(0.5) is None


def test_buckets_with_other_bounds_are_taken_for_what_is_sure() -> None:
    tally = Tally()
    tally.time(3, 100.0, [(2.0, 1), (10.0, 2)])

    assert dict(zip(BOUNDS, tally.within, strict=True))[1.0] == 0
    assert dict(zip(BOUNDS, tally.within, strict=True))[5.0] == 1
    assert dict(zip(BOUNDS, tally.within, strict=True))[10.0] == 2


def test_buckets_left_out_hold_what_the_last_one_does() -> None:
    tally = Tally()
    for _ in range(2):
        tally.time(3, 9.0, [(0.5, 1), (1.0, 1), (5.0, 3)])

    assert tally.within == [2, 2, *[6] * (len(BOUNDS) - 2)]
    assert (tally.timed, tally.duration) == (6, 18)


def test_durations_without_buckets_are_in_none() -> None:
    tally = Tally()
    tally.time(3, 9.0, [])

    assert tally.within == [0] * len(BOUNDS)


def test_status_of_grpc_that_is_the_servers_fault_is_an_error() -> None:
    """By OpenTelemetry's conventions: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS."""
    tally = Tally()
    for count in Count:
        if count.name.startswith("GRPC_"):
            tally.counts[count] = 1

    assert (tally.grpc_responses, tally.grpc_errors) == (17, 6)
    assert [tally.errors(side) for side in Side] == [6, 6]


def test_error_that_the_callers_proxy_counts_both_ways_is_one() -> None:
    """The proxy of who is called does not: what that answers to gRPC is HTTP's 200 to the caller."""
    tally = Tally()
    tally.counts[Count.RESPONSES_5XX], tally.counts[Count.GRPC_UNAVAILABLE] = 3, 4

    assert tally.errors(Side.SOURCE) == 4
    assert tally.errors(Side.DESTINATION) == 7
