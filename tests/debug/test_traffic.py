"""The table of who calls whom."""

from __future__ import annotations

from dataclasses import replace

from tests.debug.test_app import get, sources
from xds_server.debug.traffic import traffic_page, traffic_rows
from xds_server.signals.edge import Reporter
from xds_server.signals.ledger import Ledger
from xds_server.signals.window import Sight, Window

TO_API = "cluster.outbound|80|v2|api;."


def sight(*, limit: int = 9, host: str = "api", took: float = 5.0, down: int = 0) -> Sight:
    """10 calls from web to `host`, half a minute after the server started: 4 failed, of the others `down` by gRPC."""
    ledger = Ledger(limit)
    window = Window(ledger, 0)
    report = ledger.open(lambda: Reporter("web", "shop"))
    report.begin()
    prefix = TO_API.replace("api", host)
    report.count(f"{prefix}upstream_rq_2xx", 6)
    report.count(f"{prefix}upstream_rq_5xx", 4)
    report.count(f"{prefix}grpc.14", down)
    report.count(f"{prefix}upstream_cx_total", 4)
    report.count(f"{prefix}ssl.handshake", 3)
    report.count(f"{prefix}upstream_cx_overflow", 2)
    report.count(f"{prefix}upstream_rq_retry_overflow", 1)
    report.level(f"{prefix}upstream_rq_active", 5)
    report.time(f"{prefix}upstream_rq_time", 4, 8.0, [(took, 4)])
    return window.sight(30)


def test_row_has_every_signal() -> None:
    (row,) = traffic_rows(sight())

    told = {key: row[key] for key in ("source", "destination", "version", "reporter", "requests", "errors")}
    assert told == {
        "source": "web.shop", "destination": "api", "version": "v2", "reporter": "source", "requests": 10, "errors": 4,
    }  # fmt: skip
    assert (row["requests_per_second"], row["error_rate"]) == (10 / 30, 0.4)
    assert (row["tls_share"], row["overflows"], row["active_requests"]) == (0.75, 3, 5)
    assert (row["p50"], row["p99"]) == (3.0, 4.96)


def test_page_shows_it_and_names_are_no_markup() -> None:
    page = traffic_page(sight(host="<b>"))

    assert all(text in page for text in ("web.shop", "&lt;b&gt;", "40.0 %", "75 %"))
    assert "<b>" not in page


def test_page_names_what_else_happened_and_nothing_that_did_not() -> None:
    page = traffic_page(sight())

    assert "overflows 3" in page
    assert "retries" not in page


def test_page_names_failures_of_grpc_among_the_errors() -> None:
    assert "gRPC errors 6" in traffic_page(sight(down=6))
    assert traffic_rows(sight(down=6))[0]["grpc_errors"] == 6
    assert "gRPC" not in traffic_page(sight())


def test_seconds_are_shown_as_milliseconds_without_an_exponent() -> None:
    assert "e+0" in f"{traffic_rows(sight(took=5000.0))[0]['p99']:.3g}"
    assert "e+0" not in traffic_page(sight(took=5000.0))


def test_page_says_how_to_come_to_something_when_there_is_nothing() -> None:
    assert "--metrics-interval" in traffic_page(Sight())


def test_page_says_when_there_is_too_much() -> None:
    assert "--traffic-edges" not in traffic_page(sight())
    assert "--traffic-edges" in traffic_page(replace(sight(), folded=3))


async def test_one_address_serves_people_and_programs() -> None:
    seen = replace(sources(), traffic=sight)
    page, rows = await get("/debug/traffic", seen), await get("/debug/traffic?format=json", seen)

    assert page.headers["content-type"].startswith("text/html")
    assert [row["destination"] for row in rows.json()] == ["api"]
