"""Short ways to spans and log entries."""

from __future__ import annotations

from typing import Any

from xds_server.telemetry.log_entry import LogEntry
from xds_server.telemetry.span import Span, SpanKind


def span(number: int, parent: int = 0, *, trace: int = 1, **more: Any) -> Span:
    """Span `number` below `parent`, ten nanoseconds long, begun at its number."""
    fields: dict[str, Any] = {
        "name": f"call {number}", "service": "web.shop", "kind": SpanKind.SERVER, "start": number, "end": number + 10,
    }  # fmt: skip
    parent_id = f"{parent:016x}" if parent else ""
    return Span(f"{trace:032x}", f"{number:016x}", parent_id, **{**fields, **more})


def entry(**more: Any) -> LogEntry:
    """A request of web to reviews that was answered 200."""
    fields: dict[str, Any] = {
        "time": 1_750_000_000.0, "seconds": 0.0123, "proxy": "sidecar~10.0.0.1~web-1.shop~d", "service": "web.shop",
        "protocol": "HTTP/1.1", "method": "GET", "authority": "reviews", "path": "/1", "status": 200,
        "cluster": "outbound|80||reviews", "upstream": "10.0.0.2:8080", "caller": "10.0.0.1:4000",
    }  # fmt: skip
    return LogEntry(**{**fields, **more})
