"""What is known of the traffic between two services: the words of this package, each one column of a tally."""

from __future__ import annotations

import enum


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
OVERFLOWS = {
    "requests": Count.REQUESTS_REFUSED,
    "connections": Count.CONNECTIONS_REFUSED,
    "retries": Count.RETRIES_REFUSED,
}
"""By the limit that was hit."""
