"""The `mesh_` part of /metrics: what proxies told of their traffic. `LABELS` are Istio's where they mean the same.

All counts are 0 when the server starts, and there are never more series than the ledger may have edges, times what is
here: 90,000 lines at most by default. They are written as text at once: as values of prometheus_client, which the
server's own few metrics are, they would take the loop seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from xds_server.signals.edge import Edge
from xds_server.signals.quantity import OVERFLOWS, RESPONSES, Count, Level
from xds_server.signals.tally import BOUNDS, Tally
from xds_server.signals.window import Sight

_COUNTS: tuple[tuple[str, str, tuple[Count, ...]], ...] = (
    ("mesh_request_bytes_total", "Bytes from caller to called, headers among them", (Count.REQUEST_BYTES,)),
    ("mesh_response_bytes_total", "Bytes from called to caller, headers among them", (Count.RESPONSE_BYTES,)),
    ("mesh_connections_total", "Connections opened", (Count.CONNECTIONS, Count.OPAQUE_CONNECTIONS)),
    ("mesh_tls_connections_total", "TLS connections opened; of TCP only the source tells", (Count.TLS_CONNECTIONS,)),
    ("mesh_connect_failures_total", "Connections that could not be opened", (Count.CONNECT_FAILURES,)),
    ("mesh_retries_total", "Requests that were sent once more", (Count.RETRIES,)),
    ("mesh_timeouts_total", "Requests that were given up", (Count.TIMEOUTS,)),
    ("mesh_ejections_total", "Endpoints taken out because they failed", (Count.EJECTIONS,)),
)
_LEVELS: tuple[tuple[str, str, Level], ...] = (
    ("mesh_active_requests", "Requests that wait for their answer", Level.ACTIVE_REQUESTS),
    ("mesh_active_connections", "Open connections", Level.ACTIVE_CONNECTIONS),
    ("mesh_pending_requests", "Requests that wait for a connection", Level.PENDING_REQUESTS),
    ("mesh_ejected_endpoints", "Endpoints that are out, summed over the proxies", Level.EJECTED_ENDPOINTS),
)
_ALWAYS = ("2xx", "5xx")
"""Response classes that are there from the first request on, so that a rate of errors is 0 and not absent."""

_Known = Sequence[tuple[str, Tally]]
"""The labels of an edge as text, and its numbers; sorted."""


def traffic_exposition(sight: Sight) -> bytes:
    """Everything, in Prometheus' text format."""
    known = [(_labels(edge), tally) for edge, tally in sorted(sight.tallies.items(), key=lambda pair: pair[0])]
    return "".join(f"{line}\n" for line in _lines(sight, known)).encode()


def _lines(sight: Sight, known: _Known) -> Iterator[str]:
    yield from _head("mesh_requests_total", "counter", "HTTP requests, by the class of their last answer")
    yield from _requests(known)
    name = "mesh_request_duration_milliseconds"
    yield from _head(name, "histogram", "From the end of a request to the end of its answer")
    yield from _durations(name, known)
    for name, what, counts in _COUNTS:
        yield from _head(name, "counter", what)
        yield from (f"{name}{{{labels}}} {sum(tally.counts[at] for at in counts)}" for labels, tally in known)
    yield from _head("mesh_overflows_total", "counter", "Times that a limit of the connection pool was hit")
    yield from _overflows(known)
    levels = [(_labels(edge), values) for edge, values in sorted(sight.levels.items())]
    for name, what, level in _LEVELS:
        yield from _head(name, "gauge", what)
        yield from (f"{name}{{{labels}}} {values[level]}" for labels, values in levels)
    yield from _books(sight)


def _requests(known: _Known) -> Iterator[str]:
    for labels, tally in known:
        for group, count in RESPONSES.items():
            if tally.counts[count] or (tally.requests and group in _ALWAYS):
                yield f'mesh_requests_total{{{labels},response_class="{group}"}} {tally.counts[count]}'


def _durations(name: str, known: _Known) -> Iterator[str]:
    for labels, tally in known:
        if tally.timed:
            for bound, within in zip(BOUNDS, tally.within, strict=True):
                yield f'{name}_bucket{{{labels},le="{bound}"}} {within}'
            yield f'{name}_bucket{{{labels},le="+Inf"}} {tally.timed}'
            yield f"{name}_sum{{{labels}}} {tally.duration}"
            yield f"{name}_count{{{labels}}} {tally.timed}"


def _overflows(known: _Known) -> Iterator[str]:
    for labels, tally in known:
        for limit, count in OVERFLOWS.items():
            yield f'mesh_overflows_total{{{labels},limit="{limit}"}} {tally.counts[count]}'


def _books(sight: Sight) -> Iterator[str]:
    """What the bound on series came to."""
    for name, kind, what, value in (
        ("xds_server_traffic_reporters", "gauge", "Proxies that report their traffic", sight.reporters),
        ("xds_server_traffic_edges", "gauge", "Pairs of services that are counted apart", sight.apart),
        ("xds_server_traffic_edges_limit", "gauge", "How many of them there may be", sight.limit),
        ("xds_server_traffic_folded_total", "counter", "Statistics added to `other` for that limit", sight.folded),
    ):
        yield from _head(name, kind, what)
        yield f"{name} {value}"


def _head(name: str, kind: str, what: str) -> Iterable[str]:
    return f"# HELP {name} {what}", f"# TYPE {name} {kind}"


def _labels(edge: Edge) -> str:
    values = {
        "reporter": edge.side,
        "source_service": edge.source,
        "source_namespace": edge.source_namespace,
        "destination_service": edge.destination,
        "destination_version": edge.version,
    }
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
