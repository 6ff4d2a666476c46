"""What Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.debug.test_app import sources
from tests.telemetry.values import entry, span
from xds_server.debug.metrics import Metrics
from xds_server.server.export import SpanExporter
from xds_server.telemetry.log_buffer import LogBuffer
from xds_server.telemetry.traces import Traces


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels, read by Prometheus' own parser."""

    def all_of() -> Iterator[tuple[tuple[str, tuple[tuple[str, str], ...]], float]]:
        for family in text_string_to_metric_families(metrics.exposition().decode()):
            for sample in family.samples:
                yield (sample.name, tuple(sorted(sample.labels.items()))), sample.value

    return dict(all_of())


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("xds_server_build_info", {"version": "0.1.0"}, 1),
        ("xds_server_generation", {}, 4),
        ("xds_server_documents", {"kind": "VirtualService"}, 1),
        ("xds_server_problems", {"severity": "error"}, 1),
        ("xds_server_problems", {"severity": "warning"}, 0),
        ("xds_server_connected_streams", {"variant": "delta"}, 1),
        ("xds_server_connected_streams", {"variant": "sotw"}, 0),
        ("xds_server_subscribed_streams", {"type": "CDS"}, 1),
        ("xds_server_subscribed_streams", {"type": "SDS"}, 0),
        ("xds_server_pushes_total", {"type": "CDS"}, 7),
        ("xds_server_acks_total", {"type": "CDS"}, 6),
        ("xds_server_acks_total", {"type": "other"}, 1),
        ("xds_server_nacks_total", {"type": "EDS"}, 1),
        ("xds_server_streams_opened_total", {}, 3),
        ("xds_server_streams_ended_total", {"status": "OK"}, 2),
        ("xds_server_requests_total", {}, 20),
        ("xds_server_sent_bytes_total", {}, 5000),
        ("xds_server_unsettled", {"state": "refused"}, 1),
        ("xds_server_unsettled", {"state": "unanswered"}, 1),
        ("xds_server_validation_enabled", {}, 1),
        ("xds_server_validations_total", {"outcome": "valid"}, 3),
        ("xds_server_quarantined_documents", {}, 1),
        ("xds_server_resources", {"type": "LDS"}, 1),
    ],
)
def test_each_fact_is_a_sample(name: str, labels: dict[str, str], value: float) -> None:
    assert samples(Metrics(sources()))[name, tuple(sorted(labels.items()))] == value


def test_what_proxies_tell_of_requests_is_counted_where_it_is_taken() -> None:
    """Spans that are sent again count again: this is what came, not what is kept."""
    traces, logs = Traces(), LogBuffer()
    traces.add([span(1), span(2), span(2)])
    logs.add([entry()])
    found = samples(Metrics(replace(sources(), traces=traces, logs=logs)))

    assert found["xds_server_spans_received_total", ()] == 3
    assert found["xds_server_log_entries_received_total", ()] == 1
    assert not [name for name, _ in samples(Metrics(replace(sources(), traces=None, logs=None))) if "received" in name]


def test_own_spans_are_counted_where_they_go_somewhere() -> None:
    exporter = SpanExporter("127.0.0.1:1", is_tls=False, resource={}, most_waiting=1)
    exporter.offer([span(1), span(2)])
    found = samples(Metrics(replace(sources(), own_spans=exporter)))

    assert found["xds_server_own_spans_exported_total", ()] == 0
    assert found["xds_server_own_spans_dropped_total", ()] == 2
    assert not [name for name, _ in samples(Metrics(replace(sources(), own_spans=None))) if "own_spans" in name]


def test_latency_is_counted_in_its_bucket() -> None:
    metrics = Metrics(sources())
    metrics.observe_edit_to_ack(0.25)

    found = samples(metrics)
    assert found["xds_server_edit_to_ack_seconds_bucket", (("le", "0.2"),)] == 0
    assert found["xds_server_edit_to_ack_seconds_bucket", (("le", "0.3"),)] == 1
    assert found["xds_server_edit_to_ack_seconds_count", ()] == 1


def test_two_servers_in_one_process_count_apart() -> None:
    first, second = Metrics(sources()), Metrics(sources())
    first.observe_edit_to_ack(1)

    assert samples(second)["xds_server_edit_to_ack_seconds_count", ()] == 0
