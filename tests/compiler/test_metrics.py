"""Which metrics a Telemetry leaves out or changes, of which workloads, and what cannot be done here."""

from __future__ import annotations

import pytest

from tests.builders import compiled
from tests.compiler.test_telemetry import config, mesh, telemetry, told
from xds_server.compiler.metrics import ANSWERS
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.metrics import EVERYTHING, NOTHING, UNKNOWN, Exposure, LabelTexts, Metric
from xds_server.mesh.workload import Role
from xds_server.policy.telemetry import MetricName

ROOT = "rootNamespace: root"
WEB = (("app", "web"), ("version", "v1"))


def shown(found: Mesh, role: Role = Role.CLIENT) -> Exposure:
    """What is shown of web in namespace default."""
    return found.telemetry.exposure("default", WEB, role)


def overrides(written: str, **where: str) -> str:
    """A Telemetry with some overrides."""
    return telemetry(f"metrics: [{{overrides: [{written}]}}]", **where)


REQUESTS = {Metric.REQUESTS, Metric.GRPC_RESPONSES}
"""What Istio counts as one, with a label for each."""


def hidden(*texts: str, role: Role = Role.CLIENT, defaults: str = ROOT) -> set[Metric]:
    return set(shown(mesh(*texts, defaults=defaults), role).hidden)


def labels(written: str, metric: Metric = Metric.REQUESTS) -> LabelTexts:
    """What becomes of the labels of a metric by these overrides."""
    return shown(mesh(overrides(written))).labels.get(metric, ())


def found(written: str) -> list[tuple[str, str]]:
    """(code, field) of what is wrong with these overrides."""
    return [(problem.code, problem.field.removeprefix("spec.metrics[0].")) for problem in told(overrides(written))]


def test_everything_is_shown_where_nobody_says_anything() -> None:
    assert shown(mesh()) == EVERYTHING
    assert shown(mesh(telemetry("metrics: [{providers: [{name: prometheus}]}]"))) == EVERYTHING


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("REQUEST_COUNT", REQUESTS),
        ("REQUEST_DURATION", {Metric.DURATIONS}),
        ("TCP_OPENED_CONNECTIONS", {Metric.CONNECTIONS, Metric.TLS_CONNECTIONS}),
        ("TCP_CLOSED_CONNECTIONS", set()),
        ("ALL_METRICS", set(Metric)),
    ],
)
def test_metrics_are_called_by_istios_names(name: str, metrics: set[Metric]) -> None:
    assert hidden(overrides(f"{{match: {{metric: {name}}}, disabled: true}}")) == metrics


def test_every_name_of_istios_is_known() -> None:
    assert set(ANSWERS) == set(MetricName)


def test_override_without_a_match_is_about_everything() -> None:
    assert hidden(overrides("{disabled: true}")) == set(Metric)


def test_metric_that_istio_does_not_have_is_called_by_its_own_name() -> None:
    assert hidden(overrides("{match: {customMetric: mesh_retries_total}, disabled: true}")) == {Metric.RETRIES}


def test_bytes_are_left_out_when_both_of_istios_metrics_are() -> None:
    """They are counted together; to leave out one alone would take the other too."""
    one = "{match: {metric: REQUEST_SIZE}, disabled: true}"
    both = f"{one}, {{match: {{metric: TCP_RECEIVED_BYTES}}, disabled: true}}"

    assert hidden(overrides(one)) == set()
    assert found(one) == [("half-a-metric", "overrides[0].match.metric")]
    assert hidden(overrides(both)) == {Metric.REQUEST_BYTES}
    assert found(both) == []


def test_mode_is_the_side_of_the_workload() -> None:
    client = overrides("{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: true}")

    assert hidden(client) == REQUESTS
    assert hidden(client, role=Role.SERVER) == set()


def test_the_narrower_policy_wins_metric_by_metric() -> None:
    root = overrides("{match: {metric: ALL_METRICS}, disabled: true}", namespace="root")
    namespace = overrides("{match: {metric: REQUEST_COUNT}, disabled: false}")
    workload = overrides("{match: {metric: REQUEST_DURATION}, disabled: false}", name="web", selector="app: web")
    other = overrides("{disabled: false}", name="other", selector="app: other")

    assert hidden(root) == set(Metric)
    assert hidden(root, namespace, other) == set(Metric) - REQUESTS
    assert hidden(root, namespace, workload, other) == set(Metric) - REQUESTS - {Metric.DURATIONS}


def test_the_later_override_wins() -> None:
    written = overrides("{disabled: true}, {match: {metric: REQUEST_COUNT}, disabled: false}, {}")

    assert hidden(written) == set(Metric) - REQUESTS


def test_labels_are_taken_away_by_istios_names_or_our_own() -> None:
    removed = "source_canonical_service: {operation: REMOVE}, destination_version: {operation: REMOVE}"

    assert labels(f"{{tagOverrides: {{{removed}, source_principal: {{operation: REMOVE}}}}}}") == (
        ("destination_version", None),
        ("source_principal", None),
        ("source_service", None),
    )


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("'east 1'", "east 1"),
        ('"east"', "east"),
        ("xds.node.metadata.NAMESPACE", "default"),
        ("node.metadata['NAMESPACE']", "default"),
        ("xds.node.metadata.LABELS['version']", "v1"),
        ("node.metadata['LABELS'].version", "v1"),
        ("node.metadata['LABELS']['app.kubernetes.io/part-of']", UNKNOWN),
    ],
)
def test_label_is_set_to_a_text_or_to_what_is_known_of_the_workload(expression: str, text: str) -> None:
    quoted = expression.replace("'", "''")
    written = f"{{tagOverrides: {{cell: {{value: '{quoted}'}}}}}}"

    assert found(written) == []
    assert labels(written) == (("cell", text),)


@pytest.mark.parametrize("expression", ["request.host", "string(destination.port)", "'a' + 'b'", "xds.node.id", "cell"])
def test_what_only_istios_envoy_evaluates_is_an_error_and_the_rest_ships(expression: str) -> None:
    quoted = expression.replace("'", "''")
    written = f"{{disabled: true, tagOverrides: {{cell: {{value: '{quoted}'}}}}}}"

    assert found(written) == [("unsupported-expression", "overrides[0].tagOverrides.cell.value")]
    assert hidden(overrides(written)) == set(Metric)
    assert labels(written) == ()


@pytest.mark.parametrize("name", ["le", "__name__", "a-b", "1a"])
def test_what_is_no_label_is_an_error(name: str) -> None:
    assert found(f"{{tagOverrides: {{'{name}': {{value: \"'x'\"}}}}}}")[0][0] == "invalid-value"


def test_metric_that_nobody_counts_is_an_error_with_the_nearest_name() -> None:
    (problem,) = told(overrides("{match: {customMetric: mesh_request_total}, disabled: true}"))

    assert (problem.code, problem.field) == ("unknown-metric", "spec.metrics[0].overrides[0].match.customMetric")
    assert "mesh_requests_total" in problem.fix
    assert hidden(overrides("{match: {customMetric: mesh_request_total}, disabled: true}")) == set()


def test_what_is_not_counted_here_can_be_disabled_and_nothing_else() -> None:
    assert found("{match: {metric: GRPC_REQUEST_MESSAGES}, disabled: true}") == []
    assert found("{match: {metric: GRPC_REQUEST_MESSAGES}, disabled: false}") == [
        ("no-effect", "overrides[0].match.metric")
    ]


def test_nothing_is_shown_where_no_provider_is_this_servers_metrics() -> None:
    other = telemetry("metrics: [{providers: [{name: one}]}]")

    assert shown(mesh(other)) == NOTHING
    assert [(p.code, p.field) for p in told(other)] == [("wrong-provider", "spec.metrics[0].providers[0].name")]
    assert [p.code for p in told(telemetry("metrics: [{providers: [{name: promteheus}]}]"))] == ["unknown-provider"]


def test_mesh_names_the_provider_where_no_telemetry_does() -> None:
    of_another = f"{ROOT}, defaultProviders: {{metrics: [one]}}"
    (problem,) = told(defaults=of_another)

    assert (problem.code, problem.field) == ("wrong-provider", "spec.defaultProviders.metrics[0]")
    assert shown(mesh(defaults=of_another)) == NOTHING
    assert shown(mesh(defaults=f"{ROOT}, defaultProviders: {{metrics: []}}")) == EVERYTHING
    assert told(defaults=f"{ROOT}, defaultProviders: {{metrics: [Prometheus]}}") == []


def test_provider_of_kind_prometheus_is_this_servers_metrics_whatever_it_is_called() -> None:
    named = telemetry(
        "metrics: [{providers: [{name: ours}], overrides: [{match: {metric: REQUEST_COUNT}, disabled: true}]}]"
    )
    written = config(f"{ROOT}, extensionProviders: [{{name: ours, prometheus: {{}}}}]")
    in_force, problems = compiled(written + named)

    assert problems == ()
    assert set(shown(in_force).hidden) == REQUESTS


def test_overrides_of_a_provider_that_is_no_longer_named_do_not_hold() -> None:
    """Istio's rule: what the last list names takes the place of those before it."""
    wide = telemetry("metrics: [{providers: [{name: one}], overrides: [{disabled: true}]}]", namespace="root")
    narrow = telemetry("metrics: [{providers: [{name: prometheus}]}]")

    assert shown(mesh(wide, narrow)) == EVERYTHING


def test_workloads_are_told_apart_by_what_policies_about_metrics_look_at() -> None:
    selecting = overrides("{disabled: true}", selector="app: web")
    showing = overrides("{tagOverrides: {team: {value: \"node.metadata.LABELS['team']\"}}}", name="two")
    tracing = telemetry("tracing: [{randomSamplingPercentage: 1}]", name="three", selector="tier: front")

    assert mesh(tracing).telemetry.measured_by == ()
    assert mesh(selecting, showing, tracing).telemetry.measured_by == ("app", "team")
