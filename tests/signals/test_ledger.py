"""The books: totals only grow, nobody can make too many of them, and levels are of those who are here."""

from __future__ import annotations

import math

import pytest

from xds_server.signals.edge import OTHER, UNKNOWN, Edge, Reporter, Side
from xds_server.signals.ledger import Ledger, Report
from xds_server.signals.quantity import Count, Level
from xds_server.signals.tally import Tally

WEB = Reporter("web", "shop", "v3")
OK = "cluster.outbound|80||{};.upstream_rq_2xx"
ACTIVE = "cluster.outbound|{}||api;.upstream_rq_active"
TO_API = Edge(Side.SOURCE, "web", "shop", "api")


def opened(ledger: Ledger, reporter: Reporter = WEB) -> Report:
    """A stream whose first message has begun."""
    report = ledger.open(lambda: reporter)
    report.begin()
    return report


def tallies(ledger: Ledger) -> dict[Edge, Tally]:
    return dict(ledger.tallies())


def test_counts_add_up_over_messages_ports_and_proxies() -> None:
    ledger = Ledger(10)
    first, second = opened(ledger), opened(ledger)
    first.count(OK.format("api"), 3)
    first.count(OK.format("api"), 4)
    first.count(OK.format("api").replace("80", "81"), 10)
    second.count(OK.format("api"), 5)

    assert tallies(ledger)[TO_API].requests == 22


def test_totals_outlive_the_stream_and_levels_do_not() -> None:
    ledger = Ledger(10)
    report = opened(ledger)
    report.count(OK.format("api"), 3)
    report.level(ACTIVE.format(80), 7)
    report.level(ACTIVE.format(81), 1)
    before = ledger.levels()
    report.close()

    assert before[TO_API][Level.ACTIVE_REQUESTS] == 8
    assert ledger.levels() == {}
    assert tallies(ledger)[TO_API].requests == 3


def test_last_level_counts() -> None:
    ledger = Ledger(10)
    report = opened(ledger)
    for value in (7, 2):
        report.level(ACTIVE.format(80), value)

    assert ledger.levels()[TO_API][Level.ACTIVE_REQUESTS] == 2


@pytest.mark.parametrize("value", [-1, -math.inf, math.inf, math.nan, 1e300])
def test_no_peer_makes_a_total_shrink_or_be_no_number(value: float) -> None:
    ledger = Ledger(10)
    report = opened(ledger)
    report.count(OK.format("api"), 3)
    report.count(OK.format("api"), value)
    report.level(ACTIVE.format(80), value)
    report.time("cluster.outbound|80||api;.upstream_rq_time", 1, value, [])

    assert tallies(ledger)[TO_API].requests == 3
    assert ledger.levels() == {}
    assert tallies(ledger)[TO_API].timed == 0


def test_edges_beyond_the_limit_are_counted_together() -> None:
    """One for each side; what had a place keeps it, and how often that happened is told."""
    ledger = Ledger(2)
    report = opened(ledger)
    for host in ("a", "b", "c", "d", "a"):
        report.count(OK.format(host), 1)
    report.level(ACTIVE.format(80), 5)
    report.count("http.inbound_0.0.0.0_80;.downstream_rq_5xx", 1)

    found = {edge: tally.requests for edge, tally in tallies(ledger).items()}
    assert found[Edge(Side.SOURCE, "web", "shop", "a")] == 2
    assert found[Edge(Side.SOURCE, OTHER, OTHER, OTHER, OTHER)] == 2
    assert found[Edge(Side.DESTINATION, OTHER, OTHER, OTHER, OTHER)] == 1
    assert (len(found), len(ledger), ledger.folded) == (4, 2, 4)


def test_destination_knows_its_service_and_version_and_not_who_called() -> None:
    ledger = Ledger(10)
    report = opened(ledger, Reporter("api", "shop", "v3", ((8080, "api.shop.svc"),)))
    report.count("http.inbound_0.0.0.0_8080;.downstream_rq_2xx", 1)
    report.count("http.inbound_0.0.0.0_9090;.downstream_rq_2xx", 1)

    assert set(tallies(ledger)) == {
        Edge(Side.DESTINATION, UNKNOWN, UNKNOWN, "api.shop.svc", "v3"),
        Edge(Side.DESTINATION, UNKNOWN, UNKNOWN, "api", "v3"),
    }


def test_port_that_comes_to_another_service_is_counted_for_that_from_then_on() -> None:
    ledger, who = Ledger(10), [Reporter("api", "shop", hosts=((80, "old"),))]
    report = ledger.open(lambda: who[0])
    for host in ("old", "new"):
        who[0] = Reporter("api", "shop", hosts=((80, host),))
        report.begin()
        report.count("http.inbound_0.0.0.0_80;.downstream_rq_2xx", 1)

    assert {edge.destination: tally.requests for edge, tally in ledger.tallies()} == {"old": 1, "new": 1}


def test_every_count_has_a_place() -> None:
    assert len(Tally().counts) == len(Count)
