"""Spans off the wire; that Envoy writes them so, `tests/envoy/test_telemetry.py` shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.telemetry.values import span
from xds_server._proto import trace_pb2
from xds_server.errors import ProtocolViolation
from xds_server.server.otlp import export_request, spans
from xds_server.telemetry.span import SpanKind


def tag(key: str, **value: Any) -> trace_pb2.KeyValue:
    return trace_pb2.KeyValue(key=key, value=trace_pb2.AnyValue(**value))


def request(*sent: trace_pb2.Span) -> bytes:
    resource = trace_pb2.Resource(attributes=[tag("service.name", string_value="web.shop")])
    scope = trace_pb2.ScopeSpans(spans=sent)
    message = trace_pb2.ExportTraceServiceRequest(
        resource_spans=[trace_pb2.ResourceSpans(resource=resource, scope_spans=[scope])]
    )
    return bytes(message.SerializeToString())


def test_every_field_is_read() -> None:
    status = trace_pb2.Status(code=trace_pb2.Status.STATUS_CODE_ERROR)
    sent = trace_pb2.Span(
        trace_id=bytes(15) + b"\x01", span_id=bytes(7) + b"\x02", parent_span_id=bytes(7) + b"\x03", name="GET /",
        kind=trace_pb2.Span.SPAN_KIND_CLIENT, start_time_unix_nano=5, end_time_unix_nano=9, status=status,
        attributes=[tag("a", string_value="x"), tag("b", int_value=7), tag("c", bool_value=True), tag("d")],
    )  # fmt: skip
    (found,) = spans(request(sent))

    assert (found.trace_id, found.span_id, found.parent_id) == (f"{1:032x}", f"{2:016x}", f"{3:016x}")
    assert (found.service, found.name, found.kind) == ("web.shop", "GET /", SpanKind.CLIENT)
    assert (found.start, found.end, found.failed) == (5, 9, True)
    assert found.tags == (("a", "x"), ("b", "7"), ("c", "true"), ("d", ""))


def test_a_span_without_a_proper_id_is_left_out() -> None:
    assert spans(request(trace_pb2.Span(trace_id=b"short", span_id=bytes(8)))) == []


def test_what_a_sender_chooses_is_cut() -> None:
    attributes = [tag(f"{number}", string_value="x" * 10_000) for number in range(1000)]
    (found,) = spans(
        request(trace_pb2.Span(trace_id=bytes(16), span_id=bytes(8), name="n" * 10_000, attributes=attributes))
    )

    assert len(found.name) == 512
    assert all(len(str(value)) == 512 for _, value in found.tags)
    assert 3500 < sum(len(key) + len(str(value)) for key, value in found.tags) <= 4096


def test_bytes_that_are_no_request_are_a_protocol_violation() -> None:
    with pytest.raises(ProtocolViolation):
        spans(b"\xff\xff")


def test_what_is_written_is_read_again() -> None:
    """A number goes as a number."""
    sent = [
        span(1, kind=SpanKind.INTERNAL, tags=(("xds.type", "CDS"), ("xds.answers", 7))),
        span(2, 1, kind=SpanKind.CLIENT, failed=True),
    ]
    data = export_request(sent, {"service.name": "web.shop", "service.version": "1"})
    found = spans(data)

    assert found == [replace(sent[0], tags=(("xds.type", "CDS"), ("xds.answers", "7"))), sent[1]]
    (resource,) = trace_pb2.ExportTraceServiceRequest.FromString(data).resource_spans
    assert [each.key for each in resource.resource.attributes] == ["service.name", "service.version"]
    assert resource.scope_spans[0].spans[0].attributes[1].value.int_value == 7
