"""Traces as pages and as JSON."""

from __future__ import annotations

import json

from tests.telemetry.values import span
from xds_server.debug.traces import trace_page, trace_summary, trace_tree, traces_page
from xds_server.telemetry.span import Trace

TRACE = Trace(
    "abc", (span(1, end=101), span(51, 1, end=76, failed=True, name="<b>&", tags=(("http.status_code", "503"),)))
)


def test_the_list_leads_to_each_trace() -> None:
    page = traces_page([TRACE], 7, "")

    assert "7 spans received" in page
    assert '<a href="/traces?id=abc">call 1</a> failed' in page


def test_an_empty_list_says_how_to_come_to_something() -> None:
    assert "Telemetry" not in traces_page([TRACE], 7, "")
    assert "Telemetry" in traces_page([], 0, "")


def test_the_list_leads_to_what_failed_and_back() -> None:
    assert "/traces?service=web&amp;failed=true" in traces_page([TRACE], 7, "web")
    page = traces_page([], 7, "web", failed=True)

    assert '<a href="/traces?service=web">' in page
    assert "/debug/traces?service=web&amp;failed=true" in page
    assert "None of those that are kept" in page
    assert "Telemetry" not in page


def test_a_span_says_why_it_ended_as_it_did() -> None:
    late = Trace("abc", (span(1, failed=True, tags=(("http.status_code", "504"), ("response_flags", "UT,URX"))),))
    words = "the service did not answer in time; retries exhausted, or connection attempts"

    assert words in trace_page(late)
    assert trace_tree(late)["trees"][0]["why"] == words.split("; ")  # type: ignore[index] # a value of JSON


def test_a_bar_stands_where_its_span_was() -> None:
    page = trace_page(TRACE)

    assert "margin-left: 0.0%; width: 100.0%" in page
    assert "margin-left: 50.0%; width: 25.0%" in page


def test_nothing_that_a_sender_chose_is_markup() -> None:
    page = trace_page(TRACE)

    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page


def test_json_is_a_tree() -> None:
    (tree,) = json.loads(json.dumps(trace_tree(TRACE)))["trees"]

    assert tree["name"] == "call 1"
    (child,) = tree["children"]
    assert (child["status"], child["failed"], child["milliseconds"]) == ("503", True, 25e-6)


def test_a_summary_says_who_takes_part_and_how_long_it_took() -> None:
    found = trace_summary(TRACE)

    assert (found["services"], found["spans"], found["milliseconds"]) == (["web.shop"], 2, 1e-4)
