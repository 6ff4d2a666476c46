"""What Prometheus reads of traffic, read by its own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.debug.test_traffic import sight
from xds_server.debug.traffic_metrics import traffic_exposition
from xds_server.signals.window import Sight

WEB_TO_API = {
    "reporter": "source", "source_service": "web", "source_namespace": "shop",
    "destination_service": "api", "destination_version": "v2",
}  # fmt: skip


def value(sight: Sight, name: str, **labels: str) -> float:
    """The one sample of that name and those labels."""
    families = text_string_to_metric_families(traffic_exposition(sight).decode())
    (found,) = (
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
    return float(found)


def test_each_signal_is_a_sample() -> None:
    seen = sight()

    assert value(seen, "mesh_requests_total", **WEB_TO_API, response_class="5xx") == 4
    assert value(seen, "mesh_connections_total", **WEB_TO_API) == 4
    assert value(seen, "mesh_tls_connections_total", **WEB_TO_API) == 3
    assert value(seen, "mesh_overflows_total", **WEB_TO_API, limit="connections") == 2
    assert value(seen, "mesh_active_requests", **WEB_TO_API) == 5
    assert value(seen, "mesh_request_duration_milliseconds_bucket", **WEB_TO_API, le="1.0") == 0
    assert value(seen, "mesh_request_duration_milliseconds_bucket", **WEB_TO_API, le="5.0") == 4
    assert value(seen, "mesh_request_duration_milliseconds_bucket", **WEB_TO_API, le="+Inf") == 4
    assert value(seen, "mesh_request_duration_milliseconds_sum", **WEB_TO_API) == 8
    assert value(seen, "xds_server_traffic_reporters") == 1
    assert value(seen, "xds_server_traffic_edges") == 1
    assert value(seen, "xds_server_traffic_edges_limit") == 9
    assert value(seen, "xds_server_traffic_folded_total") == 0


def test_what_there_is_too_much_of_is_other_and_counted() -> None:
    ledger_of_none = sight(limit=0)

    assert value(ledger_of_none, "mesh_requests_total", destination_service="other", response_class="2xx") == 6
    assert value(ledger_of_none, "xds_server_traffic_folded_total") == 8


def test_names_are_escaped() -> None:
    assert value(sight(host='a"\\b'), "mesh_connections_total", destination_service='a"\\b') == 4


def test_nothing_is_still_an_exposition() -> None:
    assert value(Sight(), "xds_server_traffic_edges") == 0
