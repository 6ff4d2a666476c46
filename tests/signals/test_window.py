"""What happened lately, and whose trouble is shown first."""

from __future__ import annotations

from xds_server.signals.edge import Reporter
from xds_server.signals.ledger import Ledger
from xds_server.signals.window import SPAN, STEP, Row, Window, rows


def add(ledger: Ledger, host: str, good: int, bad: int = 0) -> None:
    """So many requests to a host."""
    report = ledger.open(lambda: Reporter("web", "shop"))
    report.begin()
    report.count(f"cluster.outbound|80||{host};.upstream_rq_2xx", good)
    report.count(f"cluster.outbound|80||{host};.upstream_rq_5xx", bad)


def only(window: Window, now: float) -> Row:
    (row,) = rows(window.sight(now))
    return row


def test_rates_are_of_the_last_minute_and_totals_of_all_time() -> None:
    ledger = Ledger(9)
    window = Window(ledger, 0)
    add(ledger, "api", 100)
    now = 0.0
    while now < 2 * SPAN:
        now += STEP
        window.mark(now)
    add(ledger, "api", 30, 30)
    row = only(window, now)

    assert row.total.requests == 160
    assert row.recent.requests == 60
    assert row.per_second == 60 / row.seconds
    assert SPAN <= row.seconds <= SPAN + STEP
    assert row.error_rate == 0.5


def test_without_requests_there_is_no_error_rate() -> None:
    ledger = Ledger(9)
    add(ledger, "api", 100)
    row = only(Window(ledger, 0), 5)

    assert (row.error_rate, row.per_second, row.recent.quantile(0.5)) == (None, 0, None)


def test_most_errors_come_first_lately_and_then_in_all() -> None:
    ledger = Ledger(9)
    add(ledger, "was-bad", 1, 50)
    window = Window(ledger, 0)
    add(ledger, "busy", 1000)
    add(ledger, "bad", 1, 2)

    assert [row.edge.destination for row in rows(window.sight(5))] == ["bad", "was-bad", "busy"]


def test_failures_of_grpc_are_in_the_error_rate_and_never_more_than_all() -> None:
    """A call is a request when its answer begins, and may fail in a later minute."""
    ledger = Ledger(9)
    window = Window(ledger, 0)
    add(ledger, "api", 10)
    report = ledger.open(lambda: Reporter("web", "shop"))
    report.begin()
    report.count("cluster.outbound|80||api;.grpc.13", 4)
    row = only(window, 5)
    report.count("cluster.outbound|80||api;.grpc.13", 8)

    assert (row.errors, row.error_rate) == (4, 0.4)
    assert only(window, 5).error_rate == 1


def test_sight_stays_as_it_was() -> None:
    """It is read in another thread while proxies go on telling."""
    ledger = Ledger(9)
    add(ledger, "api", 1)
    sight = Window(ledger, 0).sight(1)
    add(ledger, "api", 1)

    assert rows(sight)[0].total.requests == 1


def test_edge_is_new_from_its_first_mark_or_sight_on_for_a_while() -> None:
    ledger = Ledger(9)
    window = Window(ledger, 0, new_for=15)
    add(ledger, "api", 1)
    window.mark(10)
    add(ledger, "db", 1)

    assert {edge.destination for edge in window.sight(20).new} == {"api", "db"}
    assert {edge.destination for edge in window.sight(30).new} == {"db"}
    add(ledger, "api", 1)
    assert window.sight(35).new == frozenset()


def test_no_edge_is_new_where_nobody_asks_for_it() -> None:
    ledger = Ledger(9)
    add(ledger, "api", 1)

    assert Window(ledger, 0).sight(0).new == frozenset()
