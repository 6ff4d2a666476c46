"""What is known of the traffic between two services: the words of this package, each one column of a tally."""

from __future__ import annotations

import enum

from xds_server.telemetry import grpc_status


class Count(enum.IntEnum):
    """What only grows."""

    RESPONSES_1XX = 0
    RESPONSES_2XX = enum.auto()
    RESPONSES_3XX = enum.auto()
    RESPONSES_4XX = enum.auto()
    RESPONSES_5XX = enum.auto()
    REQUEST_BYTES = enum.auto()
    RESPONSE_BYTES = enum.auto()
    CONNECTIONS = enum.auto()
    """Of which it is known whether they are TLS."""
    OPAQUE_CONNECTIONS = enum.auto()
    """Of which it is not: TCP, seen from its destination."""
    TLS_CONNECTIONS = enum.auto()
    CONNECT_FAILURES = enum.auto()
    RETRIES = enum.auto()
    TIMEOUTS = enum.auto()
    REQUESTS_REFUSED = enum.auto()
    """By a limit of the connection pool, as the next two."""
    CONNECTIONS_REFUSED = enum.auto()
    RETRIES_REFUSED = enum.auto()
    EJECTIONS = enum.auto()
    GRPC_OK = enum.auto()
    """Answers of gRPC, by their status; HTTP's is 200."""
    GRPC_CANCELLED = enum.auto()
    GRPC_UNKNOWN = enum.auto()
    GRPC_INVALID_ARGUMENT = enum.auto()
    GRPC_DEADLINE_EXCEEDED = enum.auto()
    GRPC_NOT_FOUND = enum.auto()
    GRPC_ALREADY_EXISTS = enum.auto()
    GRPC_PERMISSION_DENIED = enum.auto()
    GRPC_RESOURCE_EXHAUSTED = enum.auto()
    GRPC_FAILED_PRECONDITION = enum.auto()
    GRPC_ABORTED = enum.auto()
    GRPC_OUT_OF_RANGE = enum.auto()
    GRPC_UNIMPLEMENTED = enum.auto()
    GRPC_INTERNAL = enum.auto()
    GRPC_UNAVAILABLE = enum.auto()
    GRPC_DATA_LOSS = enum.auto()
    GRPC_UNAUTHENTICATED = enum.auto()


class Level(enum.IntEnum):
    """What goes up and down, summed over the proxies that are connected."""

    ACTIVE_REQUESTS = 0
    ACTIVE_CONNECTIONS = enum.auto()
    PENDING_REQUESTS = enum.auto()
    EJECTED_ENDPOINTS = enum.auto()


class Latency(enum.Enum):
    """What is measured of each request, in milliseconds."""

    DURATION = enum.auto()


Quantity = Count | Level | Latency

RESPONSES = {f"{number}xx": count for number, count in enumerate(tuple(Count)[: Count.RESPONSES_5XX + 1], start=1)}
"""By response class."""
GRPC_RESPONSES = {str(code): Count[f"GRPC_{name}"] for code, name in enumerate(grpc_status.NAMES)}
"""By status, as `grpc-status` has it."""
GRPC_ERRORS = {
    code: count for code, count in GRPC_RESPONSES.items() if grpc_status.name(code) in grpc_status.SERVER_ERRORS
}
"""Those of them that are the server's fault."""
OVERFLOWS = {
    "requests": Count.REQUESTS_REFUSED,
    "connections": Count.CONNECTIONS_REFUSED,
    "retries": Count.RETRIES_REFUSED,
}
"""By the limit that was hit."""
