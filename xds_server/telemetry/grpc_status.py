"""gRPC's status codes by name: an answer may be HTTP's 200 and have failed all the same."""

from __future__ import annotations

NAMES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
"""In the order of their numbers."""
SERVER_ERRORS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Those that are the server's fault, by OpenTelemetry's conventions; Envoy marks spans as failed by the same."""


def name(code: str) -> str:
    """The name of a code as it stands in `grpc-status`; what is none stands for itself, "" for no code."""
    known = {str(number): each for number, each in enumerate(NAMES)}
    return known.get(code, code)
