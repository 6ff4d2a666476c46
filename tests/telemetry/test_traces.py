"""Traces are kept within bounds."""

from __future__ import annotations

from tests.telemetry.values import span
from xds_server.telemetry.traces import Traces


def test_the_oldest_trace_is_forgotten_first() -> None:
    traces = Traces(most_spans=3)
    traces.add(span(1, trace=trace) for trace in (1, 2, 3, 4))

    assert [int(trace.trace_id, 16) for trace in traces.kept().latest(10)] == [4, 3, 2]
    assert (len(traces), traces.received) == (3, 4)


def test_one_trace_cannot_take_the_place_of_all_others() -> None:
    traces = Traces(most_spans=100, most_of_one=5)
    traces.add(span(number) for number in range(1, 50))

    assert len(traces) == 5


def test_a_span_that_is_sent_again_counts_once() -> None:
    traces = Traces()
    traces.add([span(1), span(1)])
    (found,) = traces.kept().latest(10)

    assert len(found.spans) == 1


def test_the_spans_of_a_trace_are_in_the_order_in_which_they_began() -> None:
    traces = Traces()
    traces.add([span(3, 1), span(1), span(2, 1)])
    found = traces.of(f"{1:032x}")

    assert found is not None
    assert [each.start for each in found.spans] == [1, 2, 3]


def test_traces_are_found_by_service_and_by_failure() -> None:
    traces = Traces()
    traces.add([span(1, trace=1, service="a"), span(2, trace=2, service="b", failed=True), span(3, trace=3)])

    assert [int(each.trace_id, 16) for each in traces.kept().latest(10, service="a")] == [1]
    assert [int(each.trace_id, 16) for each in traces.kept().latest(10, failed=True)] == [2]
    assert len(traces.kept().latest(1)) == 1


def test_the_namespace_of_a_service_may_be_left_out() -> None:
    traces = Traces()
    traces.add([span(1, trace=1, service="web.shop"), span(2, trace=2, service="webhook.shop")])

    for service in ("web", "web.shop"):
        assert [int(each.trace_id, 16) for each in traces.kept().latest(10, service=service)] == [1]


def test_a_trace_that_nobody_sent_is_not_there() -> None:
    assert Traces().of("x") is None
