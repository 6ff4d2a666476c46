"""Spans as OpenTelemetry sends them: bytes to values, each cut to a bounded size, and our own the other way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.message import DecodeError

from xds_server._proto import trace_pb2
from xds_server.errors import ProtocolViolation
from xds_server.telemetry.span import Span, SpanKind, Tag

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
"""The gRPC method."""
ACCEPTED = b""
"""An ExportTraceServiceResponse that says that all was taken."""
_KINDS = tuple(SpanKind)
_LONGEST = 512
"""Characters of a name or of the value of a tag."""
_MOST_OF_TAGS = 4096
"""Characters of all tags of a span: with `traces.MOST_SPANS` this bounds what hostile senders can fill."""


def spans(data: bytes) -> list[Span]:
    """The spans of an ExportTraceServiceRequest; those without a proper id are left out.

    Raises:
        ProtocolViolation: it is none.
    """
    try:
        request = trace_pb2.ExportTraceServiceRequest.FromString(data)
    except DecodeError:
        raise ProtocolViolation("INVALID_ARGUMENT", "malformed ExportTraceServiceRequest") from None
    return [span for resource in request.resource_spans for span in _of(resource)]


def export_request(sent: Iterable[Span], resource: Mapping[str, str]) -> bytes:
    """An ExportTraceServiceRequest with these spans, all of one `resource`, which is named by its attributes."""
    scope = trace_pb2.ScopeSpans(spans=[_message(span) for span in sent])
    attributes = _attributes(resource.items())
    spans_of_one = trace_pb2.ResourceSpans(resource=trace_pb2.Resource(attributes=attributes), scope_spans=[scope])
    return trace_pb2.ExportTraceServiceRequest(resource_spans=[spans_of_one]).SerializeToString()


def _message(span: Span) -> trace_pb2.Span:
    status = trace_pb2.Status.STATUS_CODE_ERROR if span.failed else trace_pb2.Status.STATUS_CODE_UNSET
    return trace_pb2.Span(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=bytes.fromhex(span.span_id),
        parent_span_id=bytes.fromhex(span.parent_id),
        name=span.name,
        kind=trace_pb2.Span.SpanKind.Name(_KINDS.index(span.kind)),
        start_time_unix_nano=span.start,
        end_time_unix_nano=span.end,
        attributes=_attributes(span.tags),
        status=trace_pb2.Status(code=status),
    )


def _attributes(tags: Iterable[Tag]) -> list[trace_pb2.KeyValue]:
    return [trace_pb2.KeyValue(key=key, value=_value(value)) for key, value in tags]


def _value(value: str | int) -> trace_pb2.AnyValue:
    return trace_pb2.AnyValue(int_value=value) if isinstance(value, int) else trace_pb2.AnyValue(string_value=value)


def _of(resource: trace_pb2.ResourceSpans) -> Iterator[Span]:
    service = dict(_tags(resource.resource.attributes)).get("service.name", "")
    for scope in resource.scope_spans:
        yield from (_span(span, service) for span in scope.spans if len(span.trace_id) == 16 and len(span.span_id) == 8)


def _span(span: trace_pb2.Span, service: str) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        name=span.name[:_LONGEST],
        service=service,
        kind=_KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else SpanKind.UNSPECIFIED,
        start=span.start_time_unix_nano,
        end=max(span.end_time_unix_nano, span.start_time_unix_nano),
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        tags=tuple(_tags(span.attributes)),
    )


def _tags(attributes: Iterable[trace_pb2.KeyValue]) -> Iterator[tuple[str, str]]:
    left = _MOST_OF_TAGS
    for attribute in attributes:
        key, value = attribute.key[:_LONGEST], _text(attribute.value)
        left -= len(key) + len(value)
        if left < 0:
            return
        yield key, value


def _text(value: trace_pb2.AnyValue) -> str:
    """A list or mapping is left out: Envoy makes none."""
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    found = getattr(value, kind)
    return str(found).lower() if kind == "bool_value" else str(found)[:_LONGEST]
