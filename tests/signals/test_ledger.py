"""The books: totals only grow, nobody can make too many of them, and levels are of those who are here."""

from __future__ import annotations

import math

import pytest

from xds_server.signals.edge import OTHER, UNKNOWN, Edge, Reporter, Side, Teller
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
    return {edge: tally for (edge, _), tally in ledger.tallies()}


def levels(ledger: Ledger) -> dict[Edge, list[float]]:
    return {edge: found for (edge, _), found in ledger.levels().items()}


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
    before = levels(ledger)
    report.close()

    assert before[TO_API][Level.ACTIVE_REQUESTS] == 8
    assert ledger.levels() == {}
    assert tallies(ledger)[TO_API].requests == 3


def test_last_level_counts() -> None:
    ledger = Ledger(10)
    report = opened(ledger)
    for value in (7, 2):
        report.level(ACTIVE.format(80), value)

    assert levels(ledger)[TO_API][Level.ACTIVE_REQUESTS] == 2


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

    assert {edge.destination: tally.requests for (edge, _), tally in ledger.tallies()} == {"old": 1, "new": 1}


def told_apart(version: str, *keys: str) -> Reporter:
    """A proxy of web, where policies tell workloads apart by `keys`."""
    labels = tuple((key, version) for key in keys if key == "version")
    return Reporter("web", "shop", teller=Teller("shop", keys, labels))


def by_version(ledger: Ledger) -> dict[str, int]:
    """Requests to api, by the version of web that is told apart; "" for none."""
    return {dict(teller.labels).get("version", ""): tally.requests for (_, teller), tally in ledger.tallies()}


def test_workloads_of_one_service_are_counted_apart_where_policies_tell_them_apart_and_nothing_is_lost() -> None:
    """What was counted before goes with the first that tells again, and all comes together when they cease to."""
    ledger = Ledger(10)
    who = [told_apart("v1"), told_apart("v2")]
    reports = [ledger.open(lambda: who[0]), ledger.open(lambda: who[1])]

    def told() -> dict[str, int]:
        for report, count in zip(reports, (1, 10), strict=True):
            report.begin()
            report.count(OK.format("api"), count)
        return by_version(ledger)

    assert told() == {"": 11}
    who[:] = [told_apart("v1", "version"), told_apart("v2", "version")]
    assert told() == {"v1": 12, "v2": 10}
    who[:] = [told_apart("v1"), told_apart("v2")]
    assert told() == {"": 33}
    assert len(ledger) == 1


def test_proxy_that_was_away_when_policies_began_to_tell_it_apart_goes_on_with_its_numbers() -> None:
    ledger = Ledger(10)
    for keys in ((), ("version",), ("tier", "version")):
        report = opened(ledger, told_apart("v1", *keys))
        report.count(OK.format("api"), 1)
        report.close()

    assert by_version(ledger) == {"v1": 3}


def test_nothing_is_lost_where_policies_change_and_change_back_between_two_reports_of_a_proxy() -> None:
    """To the second nothing has changed, and what it added to is with the numbers of the first."""
    ledger = Ledger(10)
    apart = [told_apart("v1", "version"), told_apart("v2", "version")]
    who = list(apart)
    reports = [ledger.open(lambda: who[0]), ledger.open(lambda: who[1])]
    for telling in (reports, reports[:1], reports):
        who[:] = apart if len(telling) == len(reports) else [told_apart("v1"), told_apart("v2")]
        for report in telling:
            report.begin()
            report.count(OK.format("api"), 1)

    assert sum(by_version(ledger).values()) == 5


def test_numbers_of_another_service_stay_where_they_are() -> None:
    """Also of one of another namespace, and of another version at the destination."""
    ledger = Ledger(10)
    for namespace, version in (("shop", "v1"), ("shop", "v2"), ("elsewhere", "v1")):
        report = opened(ledger, Reporter("api", namespace, version, teller=Teller(namespace)))
        report.count("http.inbound_0.0.0.0_80;.downstream_rq_2xx", 1)
        report.count(OK.format("db"), 1)

    opened(ledger, Reporter("api", "shop", "v1", teller=Teller("shop", ("app",))))

    former = [(edge.side, teller.namespace, edge.version) for edge, teller in dict(ledger.tallies()) if not teller.keys]
    assert former == [
        (Side.DESTINATION, "shop", "v2"),
        (Side.DESTINATION, "elsewhere", "v1"),
        (Side.SOURCE, "elsewhere", ""),
    ]


def test_every_count_has_a_place() -> None:
    assert len(Tally().counts) == len(Count)
