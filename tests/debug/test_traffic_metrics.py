"""What Prometheus reads of traffic, read by its own parser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from tests.debug.test_traffic import sight
from xds_server.compiler.metrics import ANSWERS
from xds_server.debug.traffic_metrics import traffic_exposition
from xds_server.mesh.metrics import PARTS, LabelValue, Metric, MetricsOverride, MetricsRule, ValueSource
from xds_server.mesh.telemetry import Provider, TelemetryDefaults, TelemetryPolicies, TelemetryPolicy
from xds_server.policy.telemetry import MetricName
from xds_server.signals.edge import Reporter, Teller
from xds_server.signals.ledger import Ledger
from xds_server.signals.window import Sight, Window

WEB_TO_API = {
    "reporter": "source", "source_service": "web", "source_namespace": "shop",
    "destination_service": "api", "destination_version": "v2",
}  # fmt: skip
LEVELS = ("mesh_active", "mesh_pending", "mesh_ejected")
DEFAULTS = TelemetryDefaults((Provider("prometheus", measures=True),))
V1 = (("version", "v1"),)


def samples(sight: Sight, name: str, policies: TelemetryPolicies, **labels: str) -> list[tuple[dict[str, str], float]]:
    """Those of that name that have those labels: (all labels, value)."""
    families = text_string_to_metric_families(traffic_exposition(sight, policies).decode())
    return [
        (dict(sample.labels), float(sample.value))
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]


def value(sight: Sight, name: str, **labels: str) -> float:
    """The one sample of that name and those labels, where no policy says anything."""
    ((_, found),) = samples(sight, name, TelemetryPolicies(), **labels)
    return found


def policies(*overrides: MetricsOverride, selector: tuple[tuple[str, str], ...] = ()) -> TelemetryPolicies:
    """One policy of namespace shop."""
    return TelemetryPolicies((TelemetryPolicy("shop", selector, metrics=(MetricsRule((), overrides),)),), DEFAULTS)


def override(*names: MetricName, disabled: bool | None = None, **labels: str | None) -> MetricsOverride:
    """Of Istio's metrics; labels with None are taken away."""
    asked = frozenset(asked for name in names for asked in ANSWERS[name])
    values = ((name, text if text is None else LabelValue(ValueSource.TEXT, text)) for name, text in labels.items())
    return MetricsOverride(asked, disabled=disabled, labels=tuple(values))


def versions() -> Sight:
    """v1 of web calls v1 of api once and v2 twice; v2 of web calls v1 4 times."""
    ledger = Ledger(9)
    window = Window(ledger, 0)
    for version, called, count in (("v1", "v1", 1), ("v1", "v2", 2), ("v2", "v1", 4)):
        web = Reporter("web", "shop", teller=Teller("shop", ("version",), (("version", version),)))
        report = ledger.open(_always(web))
        report.begin()
        report.count(f"cluster.outbound|80|{called}|api;.upstream_rq_2xx", count)
        report.count(f"cluster.outbound|80|{called}|api;.upstream_rq_5xx", count)
        report.count(f"cluster.outbound|80|{called}|api;.grpc.14", count)
        report.count(f"cluster.outbound|80|{called}|api;.upstream_cx_tx_bytes_total", count)
        report.level(f"cluster.outbound|80|{called}|api;.upstream_rq_active", count)
        report.time(f"cluster.outbound|80|{called}|api;.upstream_rq_time", count, 8.0, [(5.0, count)])
    return window.sight(30)


def _always(reporter: Reporter) -> Callable[[], Reporter]:
    return lambda: reporter


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


def test_a_new_edge_is_shown_as_0_in_all_its_counts_and_what_is_now_is_shown() -> None:
    """So that a rate has its first requests too. Its series are all there."""
    seen = sight()
    new = replace(seen, new=frozenset(edge for edge, _ in seen.tallies))
    series, values = lines(seen), lines(new)

    assert series.keys() == values.keys()
    assert {value for name, value in values.items() if not name.startswith(LEVELS)} == {0}
    assert {name: series[name] for name in series if name.startswith(LEVELS)}.items() <= values.items()


def test_each_class_of_responses_is_there_from_the_first_request_on() -> None:
    found = samples(sight(), "mesh_requests_total", TelemetryPolicies(), **WEB_TO_API)
    classes = [labels["response_class"] for labels, _ in found]

    assert classes == ["2xx", "3xx", "4xx", "5xx"]


def test_each_status_of_grpc_that_is_an_error_is_there_from_the_first_call_on() -> None:
    found = samples(sight(down=6), "mesh_grpc_responses_total", TelemetryPolicies(), **WEB_TO_API)
    counts = {labels["grpc_response_status"]: count for labels, count in found}

    assert counts == {"0": 0, "2": 0, "4": 0, "12": 0, "13": 0, "14": 6, "15": 0}
    assert samples(sight(), "mesh_grpc_responses_total", TelemetryPolicies()) == []


def test_status_of_grpc_is_a_label_of_request_count_as_in_istio() -> None:
    without = policies(override(MetricName.REQUEST_COUNT, grpc_response_status=None, destination_version=None))
    disabled = policies(override(MetricName.REQUEST_COUNT, disabled=True))

    ((labels, count),) = samples(versions(), "mesh_grpc_responses_total", without)
    assert count == 7
    assert set(labels) == {*WEB_TO_API} - {"destination_version"}
    assert samples(versions(), "mesh_grpc_responses_total", disabled) == []


def lines(seen: Sight) -> dict[str, float]:
    """What is shown of edges: series and value."""
    text = traffic_exposition(seen, TelemetryPolicies()).decode()
    found = (line.rpartition(" ") for line in text.splitlines() if line.startswith("mesh_"))
    return {name: float(value) for name, _, value in found}


def test_names_are_escaped() -> None:
    assert value(sight(host='a"\\b'), "mesh_connections_total", destination_service='a"\\b') == 4


def test_nothing_is_still_an_exposition() -> None:
    assert value(Sight(), "xds_server_traffic_edges") == 0


def test_what_workloads_of_one_service_tell_is_one_series_unless_a_policy_parts_them() -> None:
    assert value(versions(), "mesh_requests_total", destination_version="v1", response_class="2xx") == 5
    assert value(versions(), "mesh_active_requests", destination_version="v1") == 5


def test_metric_that_is_disabled_is_not_there_for_the_workloads_that_it_is_disabled_for() -> None:
    found = policies(override(MetricName.REQUEST_COUNT, disabled=True), selector=V1)

    ok = {"response_class": "2xx"}
    assert [count for _, count in samples(versions(), "mesh_requests_total", found, **ok)] == [4]
    assert len(samples(versions(), "mesh_active_requests", found)) == 2


def test_disabled_all_is_every_metric_and_the_servers_own_numbers_stay() -> None:
    found = policies(override(MetricName.ALL_METRICS, disabled=True))
    text = traffic_exposition(versions(), found).decode()

    assert [line for line in text.splitlines() if line.startswith("mesh_")] == []
    assert "xds_server_traffic_edges 3" in text


def test_series_that_differ_in_a_label_that_is_taken_away_add_up() -> None:
    found = policies(override(MetricName.ALL_METRICS, destination_version=None))
    seen = versions()

    ((labels, count),) = samples(seen, "mesh_requests_total", found, response_class="2xx")
    assert count == 7
    assert set(labels) == {*WEB_TO_API, "response_class"} - {"destination_version"}
    assert [total for _, total in samples(seen, "mesh_active_requests", found)] == [7]
    durations = "mesh_request_duration_milliseconds"
    assert [total for _, total in samples(seen, f"{durations}_count", found)] == [7]
    assert [total for _, total in samples(seen, f"{durations}_bucket", found, le="5.0")] == [7]
    assert [total for _, total in samples(seen, f"{durations}_sum", found)] == [24]


def test_label_of_the_metric_itself_can_be_taken_away_and_so_can_all() -> None:
    without_class = policies(override(MetricName.REQUEST_COUNT, response_class=None, destination_version=None))
    nothing_left = policies(override(MetricName.ALL_METRICS, **dict.fromkeys((*WEB_TO_API, "response_class"))))

    assert [count for _, count in samples(versions(), "mesh_requests_total", without_class)] == [14]
    assert samples(versions(), "mesh_requests_total", nothing_left) == [({}, 14)]
    assert samples(versions(), "mesh_request_duration_milliseconds_count", nothing_left) == [({}, 7)]
    assert ({"le": "5.0"}, 7) in samples(versions(), "mesh_request_duration_milliseconds_bucket", nothing_left)


def test_label_is_set_whether_it_was_there_or_not() -> None:
    found = policies(override(MetricName.REQUEST_COUNT, destination_version="any", response_class="all", cell='"1"'))

    ((labels, count),) = samples(versions(), "mesh_requests_total", found)
    assert count == 14
    assert (labels["destination_version"], labels["response_class"], labels["cell"]) == ("any", "all", '"1"')


def test_what_is_other_follows_the_policy_of_the_mesh_alone() -> None:
    in_shop = policies(override(MetricName.ALL_METRICS, disabled=True))
    in_mesh = TelemetryPolicies((TelemetryPolicy("", metrics=in_shop.policies[0].metrics),), DEFAULTS)

    assert samples(sight(limit=0), "mesh_requests_total", in_shop, destination_service="other") != []
    assert samples(sight(limit=0), "mesh_requests_total", in_mesh) == []


def test_every_metric_is_shown_under_its_name() -> None:
    text = traffic_exposition(Sight(), TelemetryPolicies()).decode()

    assert (
        {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE mesh_")} == set(Metric) == set(PARTS)
    )
