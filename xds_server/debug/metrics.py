"""/metrics: what the server knows of itself, in Prometheus' text format; what proxies told it is in traffic_metrics.py.

All but the latency histogram is read from the sources when somebody scrapes, so counting costs nothing in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from xds_server.debug.sources import Sources
from xds_server.problem import Severity
from xds_server.xds import type_url
from xds_server.xds.proxy_status import Variant

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of `Metrics.exposition`."""

_BUCKETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds; an edit rests for the debounce of 0.1 before anything happens."""


class Metrics:
    """One server's metrics, in a registry of their own: two servers may live in one process."""

    def __init__(self, sources: Sources) -> None:
        self._registry = CollectorRegistry()
        self._edit_to_ack = Histogram(
            "xds_server_edit_to_ack_seconds",
            "Time from the first notice of a change until every connected proxy that it concerns took it",
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Facts(sources))
        ProcessCollector(registry=self._registry)

    def observe_edit_to_ack(self, seconds: float) -> None:
        """A change that was noticed `seconds` ago is now in force everywhere."""
        self._edit_to_ack.observe(seconds)

    def exposition(self) -> bytes:
        """Everything, now, as CONTENT_TYPE."""
        return generate_latest(self._registry)


class _Facts(Collector):
    """Asks the sources at each scrape. `describe` keeps registration from asking before anything is loaded."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        sources = self._sources
        yield InfoMetricFamily("xds_server_build", "Version of the server", value={"version": sources.version})
        yield GaugeMetricFamily(
            "xds_server_generation", "Accepted changes since the start; 0 before the first load", sources.generation()
        )
        yield _by_label("xds_server_documents", "Documents in force", "kind", self._documents())
        yield _by_label("xds_server_problems", "Problems with the policies", "severity", self._problems())
        yield from self._validation()
        yield from self._streams()
        yield from self._proxies()
        yield _by_label("xds_server_resources", "Resources in the snapshots in use", "type", self._resources())
        yield from self._received()
        if (own := self._sources.own_spans) is not None:
            yield CounterMetricFamily("xds_server_own_spans_exported", "Own spans that a collector took", own.exported)
            yield CounterMetricFamily("xds_server_own_spans_dropped", "Own spans that none took in time", own.dropped)

    def _documents(self) -> Mapping[str, int]:
        return Counter(document.kind for document in self._sources.documents())

    def _problems(self) -> Mapping[str, int]:
        found = Counter(str(problem.severity) for problem in self._sources.problems())
        return {str(severity): found[severity] for severity in Severity}

    def _validation(self) -> Iterator[Metric]:
        validation = self._sources.validation()
        yield GaugeMetricFamily(
            "xds_server_validation_enabled", "Whether an Envoy validates changes first", bool(validation.envoy)
        )
        runs = CounterMetricFamily("xds_server_validations", "Runs of Envoy in validate mode", labels=["outcome"])
        for outcome, count in sorted(validation.runs.items()):
            runs.add_metric([outcome], count)
        yield runs
        yield GaugeMetricFamily(
            "xds_server_quarantined_documents", "Documents that Envoy refuses, kept out", len(validation.quarantined)
        )

    def _streams(self) -> Iterator[Metric]:
        proxies = self._sources.proxies()
        variants = dict.fromkeys(map(str, Variant), 0) | Counter(str(proxy.variant) for proxy in proxies)
        yield _by_label("xds_server_connected_streams", "Open streams", "variant", variants)
        subscribed = Counter(url for proxy in proxies for url in proxy.types)
        yield _by_label(
            "xds_server_subscribed_streams", "Open streams that asked for a type", "type", _short(subscribed)
        )
        totals = self._sources.totals()
        for name, what, counts in (
            ("pushes", "Responses sent", totals.pushes),
            ("acks", "Responses that the proxy took whole", totals.acks),
            ("nacks", "Responses that the proxy refused", totals.nacks),
        ):
            family = CounterMetricFamily(f"xds_server_{name}", what, labels=["type"])
            for kind, count in _short(counts).items():
                family.add_metric([kind], count)
            yield family

    def _proxies(self) -> Iterator[Metric]:
        """How streams fare, beyond what was sent on them."""
        states = [state for proxy in self._sources.proxies() for state in proxy.types.values()]
        totals = self._sources.totals()
        yield _by_label(
            "xds_server_unsettled",
            "Types on open streams whose latest response is not taken: refused, or not answered yet",
            "state",
            {
                "refused": sum(bool(state.last_error) for state in states),
                "unanswered": sum(
                    bool(state.sent_nonce) and not state.last_error and not state.is_synced for state in states
                ),
            },
        )
        yield CounterMetricFamily("xds_server_streams_opened", "Streams that named their node", totals.opened)
        ended = CounterMetricFamily("xds_server_streams_ended", "Streams that ended, by status", labels=["status"])
        always = dict.fromkeys(("INTERNAL", "OK"), 0)  # each has a rate from the first one on
        for status, count in sorted({**always, **totals.ended}.items()):
            ended.add_metric([status], count)
        yield ended
        yield CounterMetricFamily("xds_server_requests", "Requests read, ACKs among them", totals.requests)
        yield CounterMetricFamily("xds_server_sent_bytes", "Bytes of responses", totals.sent_bytes)

    def _received(self) -> Iterator[Metric]:
        """What proxies told of requests, where that is taken."""
        for name, what, kept in (
            ("spans", "Spans", self._sources.traces),
            ("log_entries", "Log entries", self._sources.logs),
        ):
            if kept is not None:
                yield CounterMetricFamily(
                    f"xds_server_{name}_received", f"{what} taken, forgotten ones too", kept.received
                )

    def _resources(self) -> Mapping[str, int]:
        """Over distinct snapshots: proxies of one view share one."""
        node_ids = {proxy.node_id for proxy in self._sources.proxies()}
        snapshots = {id(found): found for found in map(self._sources.snapshot_of, node_ids) if found is not None}
        counts: Counter[str] = Counter()
        for snapshot in snapshots.values():
            counts.update({url: len(resources) for url, resources in snapshot.by_type.items()})
        return _short(counts)


def _by_label(name: str, what: str, label: str, counts: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, what, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _short(counts: Mapping[str, int]) -> dict[str, int]:
    """By CDS, EDS, LDS, RDS and SDS, each of them there from the start; a type that is not served is "other"."""
    found = dict.fromkeys(type_url.SHORT_NAMES.values(), 0)
    for url, count in counts.items():
        name = type_url.SHORT_NAMES.get(url, "other")
        found[name] = found.get(name, 0) + count
    return found
