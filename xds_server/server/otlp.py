"""Spans as OpenTelemetry sends them: bytes to values, each cut to a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError

from xds_server._proto import trace_pb2
from xds_server.errors import ProtocolViolation
from xds_server.telemetry.span import Span, SpanKind

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
