"""The `mesh_` part of /metrics: what proxies told of their traffic, as far as policies show it.

All counts are 0 when the server starts, and there are never more series than the ledger may have edges, times what is
here: 120,000 lines at most by default. The counts of a new edge are shown as 0 at first: Prometheus takes a series to
begin with the value that it sees first, and would make no rate of what was counted by then. They are written as text
at once: as values of prometheus_client, which the server's own few metrics are, they would take the loop seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from xds_server.mesh.metrics import Exposure, Metric
from xds_server.mesh.telemetry import TelemetryPolicies
from xds_server.mesh.workload import Role
from xds_server.signals.edge import Edge, Side, Teller, Told
from xds_server.signals.quantity import GRPC_ERRORS, GRPC_RESPONSES, OVERFLOWS, RESPONSES, Count, Level
from xds_server.signals.tally import BOUNDS, Tally
from xds_server.signals.window import Sight

_COUNTS: tuple[tuple[Metric, str, tuple[Count, ...]], ...] = (
    (Metric.REQUEST_BYTES, "Bytes from caller to called, headers among them", (Count.REQUEST_BYTES,)),
    (Metric.RESPONSE_BYTES, "Bytes from called to caller, headers among them", (Count.RESPONSE_BYTES,)),
    (Metric.CONNECTIONS, "Connections opened", (Count.CONNECTIONS, Count.OPAQUE_CONNECTIONS)),
    (Metric.TLS_CONNECTIONS, "TLS connections opened; of TCP only the source tells", (Count.TLS_CONNECTIONS,)),
    (Metric.CONNECT_FAILURES, "Connections that could not be opened", (Count.CONNECT_FAILURES,)),
    (Metric.RETRIES, "Requests that were sent once more", (Count.RETRIES,)),
    (Metric.TIMEOUTS, "Requests, and tries of them, that were given up", (Count.TIMEOUTS,)),
    (Metric.EJECTIONS, "Endpoints taken out because they failed", (Count.EJECTIONS,)),
)
_LEVELS: tuple[tuple[Metric, str, Level], ...] = (
    (Metric.ACTIVE_REQUESTS, "Requests that wait for their answer", Level.ACTIVE_REQUESTS),
    (Metric.ACTIVE_CONNECTIONS, "Open connections", Level.ACTIVE_CONNECTIONS),
    (Metric.PENDING_REQUESTS, "Requests that wait for a connection", Level.PENDING_REQUESTS),
    (Metric.EJECTED_ENDPOINTS, "Endpoints that are out, summed over the proxies", Level.EJECTED_ENDPOINTS),
)
_ALWAYS = ("2xx", "3xx", "4xx", "5xx")
"""Response classes that are there from the first request on, so that each has a rate from its own first one on."""
_ALWAYS_GRPC = {"0", *GRPC_ERRORS}
"""Likewise, from the first answer of gRPC on."""
_ROLES = {Side.SOURCE: Role.CLIENT, Side.DESTINATION: Role.SERVER}
_Sample: TypeAlias = tuple[tuple[()] | tuple[str, str], float]
"""A metric's own label, if it has one, and a value."""
T = TypeVar("T")


def traffic_exposition(sight: Sight, policies: TelemetryPolicies) -> bytes:
    """Everything that the policies show, in Prometheus' text format; what they make one series of is added up."""
    return "".join(f"{line}\n" for line in _lines(sight, policies)).encode()


@dataclass(frozen=True, slots=True)
class _Row(Generic[T]):
    """What one kind of workload tells of an edge, and what is shown of that."""

    edge: Edge
    exposure: Exposure
    labels: _Labels
    value: T
    new: bool = False

    def of(self, metric: Metric) -> _Labels | None:
        """The labels under which a metric shows it; None for one that does not."""
        if metric in self.exposure.hidden:
            return None
        changes = self.exposure.labels.get(metric)
        return _Labels(self.edge, dict(changes)) if changes else self.labels


def _rows(told: Mapping[Told, T], policies: TelemetryPolicies, new: Set[Edge] = frozenset()) -> list[_Row[T]]:
    """Sorted."""
    exposures: dict[tuple[Teller, Side], Exposure] = {}
    rows = []
    for (edge, teller), value in sorted(told.items(), key=lambda pair: pair[0]):
        who = teller, edge.side
        if who not in exposures:
            exposures[who] = policies.exposure(teller.namespace, teller.labels, _ROLES[edge.side])
        rows.append(_Row(edge, exposures[who], _Labels(edge, {}), value, edge in new))
    return rows


class _Labels:
    """The labels of an edge, some of them set or taken away."""

    def __init__(self, edge: Edge, changes: Mapping[str, str | None]) -> None:
        own = {
            "reporter": str(edge.side),
            "source_service": edge.source,
            "source_namespace": edge.source_namespace,
            "destination_service": edge.destination,
            "destination_version": edge.version,
        }
        self._changes = changes
        self.text = _text({**own, **changes})

    def and_(self, name: str = "", value: str = "") -> str:
        """With one of the metric itself, unless that is set or taken away too."""
        if not name or name in self._changes:
            return self.text
        mark = "," if self.text else ""
        return f'{self.text}{mark}{name}="{value}"'


def _lines(sight: Sight, policies: TelemetryPolicies) -> Iterator[str]:
    tallies, levels = _rows(sight.tallies, policies, sight.new), _rows(sight.levels, policies)
    yield from _head(Metric.REQUESTS, "counter", "HTTP requests, by the class of their last answer")
    yield from _series(Metric.REQUESTS, tallies, _requests)
    yield from _head(Metric.GRPC_RESPONSES, "counter", "Calls of gRPC that ended, by the status of their last answer")
    yield from _series(Metric.GRPC_RESPONSES, tallies, _grpc_responses)
    yield from _head(Metric.DURATIONS, "histogram", "How long requests took until the end of their answer")
    yield from _durations(Metric.DURATIONS, tallies)
    for metric, what, counts in _COUNTS:
        yield from _head(metric, "counter", what)
        yield from _series(metric, tallies, _sum_of(counts))
    yield from _head(Metric.OVERFLOWS, "counter", "Times that a limit of the connection pool was hit")
    yield from _series(Metric.OVERFLOWS, tallies, _overflows)
    for metric, what, level in _LEVELS:
        yield from _head(metric, "gauge", what)
        yield from _series(metric, levels, _level(level))
    yield from _books(sight)


def _series(metric: Metric, rows: Iterable[_Row[T]], samples: Callable[[T], Iterable[_Sample]]) -> Iterator[str]:
    totals: dict[str, float] = {}
    for row in rows:
        if labels := row.of(metric):
            for own, value in samples(row.value):
                text = labels.and_(*own)
                totals[text] = totals.get(text, 0.0) + (0.0 if row.new else value)
    return (f"{metric}{{{text}}} {value}" for text, value in totals.items())


def _requests(tally: Tally) -> Iterator[_Sample]:
    for group, count in RESPONSES.items():
        if tally.counts[count] or (tally.requests and group in _ALWAYS):
            yield ("response_class", group), tally.counts[count]


def _grpc_responses(tally: Tally) -> Iterator[_Sample]:
    for code, count in GRPC_RESPONSES.items():
        if tally.counts[count] or (tally.grpc_responses and code in _ALWAYS_GRPC):
            yield ("grpc_response_status", code), tally.counts[count]


def _durations(name: Metric, rows: Iterable[_Row[Tally]]) -> Iterator[str]:
    totals: dict[str, Tally] = {}
    for row in rows:
        labels = row.of(name)
        if labels and row.value.timed:
            found = value = Tally() if row.new else row.value
            if labels.text in totals:
                found = totals[labels.text].copy()
                found.add(value)
            totals[labels.text] = found
    for text, tally in totals.items():
        mark = "," if text else ""
        for bound, within in zip(BOUNDS, tally.within, strict=True):
            yield f'{name}_bucket{{{text}{mark}le="{bound}"}} {within}'
        yield f'{name}_bucket{{{text}{mark}le="+Inf"}} {tally.timed}'
        yield f"{name}_sum{{{text}}} {tally.duration}"
        yield f"{name}_count{{{text}}} {tally.timed}"


def _sum_of(counts: tuple[Count, ...]) -> Callable[[Tally], Iterable[_Sample]]:
    return lambda tally: (((), sum(tally.counts[at] for at in counts)),)


def _level(level: Level) -> Callable[[Sequence[float]], Iterable[_Sample]]:
    return lambda values: (((), values[level]),)


def _overflows(tally: Tally) -> Iterator[_Sample]:
    for limit, count in OVERFLOWS.items():
        yield ("limit", limit), tally.counts[count]


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


def _text(labels: Mapping[str, str | None]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items() if value is not None)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
