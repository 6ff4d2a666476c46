"""The tree that the spans of one trace make."""

from __future__ import annotations

import pytest

from tests.telemetry.values import span
from xds_server.telemetry.span import Span, Trace


def shape(*spans: Span) -> list[tuple[int, str]]:
    return [(branch.depth, branch.span.name) for tree in Trace("1", spans).trees() for branch in tree]


def test_spans_hang_below_the_one_that_led_to_them() -> None:
    found = shape(span(1), span(2, 1), span(3, 2), span(4, 1))

    assert found == [(0, "call 1"), (1, "call 2"), (2, "call 3"), (1, "call 4")]


def test_a_span_whose_parent_is_not_known_begins_a_tree_of_its_own() -> None:
    assert shape(span(1), span(3, 2)) == [(0, "call 1"), (0, "call 3")]


def test_a_trace_goes_from_its_first_span_to_the_end_of_its_last() -> None:
    found = Trace("1", (span(1, end=50), span(2, 1, end=12, failed=True, service="other")))

    assert (found.start, found.end, found.failed) == (1, 50, True)
    assert found.services == ("web.shop", "other")


@pytest.mark.parametrize("service", ["web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"])
def test_every_spelling_of_a_name_finds_the_traces_it_has_a_part_in(service: str) -> None:
    assert Trace("1", (span(1),)).concerns(service)


def test_spans_that_are_their_own_ancestors_are_no_endless_tree() -> None:
    assert shape(span(1), span(2, 1), span(2, 2)) == [(0, "call 1"), (1, "call 2")]


def test_a_chain_is_shown_as_deep_as_anybody_reads() -> None:
    assert len(shape(*(span(number, number - 1) for number in range(1, 1000)))) == 200


def test_status_is_what_the_tags_say() -> None:
    assert span(1, tags=(("http.status_code", "503"),)).status == "503"
    assert span(1).status == ""


def test_status_of_grpc_is_told_beside_that_of_http_unless_all_is_well() -> None:
    def why(*tags: tuple[str, str]) -> tuple[str, ...]:
        return span(1, tags=(("http.status_code", "200"), ("response_flags", "-"), *tags)).why

    assert why(("grpc.status_code", "14"), ("grpc.message", "not today")) == ("gRPC UNAVAILABLE: not today",)
    assert why(("grpc.status_code", "0")) == why() == ()
