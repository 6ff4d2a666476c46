"""Telemetry: Istio's fields and Istio's validation."""

from __future__ import annotations

import pytest

from tests.policy.reading import errors, of_kind, parse
from xds_server.policy.telemetry import MetricName, TelemetrySpec, WorkloadMode

EVERYTHING = """
selector: {matchLabels: {app: web}}
tracing:
- match: {mode: CLIENT}
  providers: [{name: otel}]
  randomSamplingPercentage: 12.5
  disableSpanReporting: false
  useRequestIdForTraceSampling: false
  enableIstioTags: false
  disableContextPropagation: true
  customTags:
    a: {literal: {value: text}}
    b: {environment: {name: HOME, defaultValue: x}}
    c: {header: {name: x-user}}
    d: {formatter: {value: "%PROTOCOL%"}}
accessLogging:
- {match: {mode: SERVER}, providers: [{name: envoy}], disabled: false, filter: {expression: response.code >= 400}}
metrics:
- providers: [{name: prometheus}]
  reportingInterval: 5s
  overrides:
  - match: {metric: REQUEST_COUNT, mode: CLIENT_AND_SERVER}
    disabled: true
    tagOverrides: {user: {operation: UPSERT, value: request.host}, old: {operation: REMOVE}}
"""


def test_every_field_of_istio_is_read() -> None:
    document, problems = of_kind("Telemetry", EVERYTHING)

    assert document is not None
    spec = document.spec
    assert isinstance(spec, TelemetrySpec)
    assert spec.tracing[0].match is not None
    assert spec.tracing[0].match.mode is WorkloadMode.CLIENT
    assert spec.metrics[0].overrides[0].match is not None
    assert spec.metrics[0].overrides[0].match.metric is MetricName.REQUEST_COUNT
    assert [(problem.field, problem.code) for problem in problems] == [
        ("spec.metrics[0].reportingInterval", "no-effect")
    ]


@pytest.mark.parametrize("version", ["v1", "v1alpha1"])
def test_both_versions_are_read(version: str) -> None:
    text = f"{{apiVersion: telemetry.istio.io/{version}, kind: Telemetry, metadata: {{name: a}}, spec: {{}}}}"

    assert parse(text)[0] is not None


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ("tracing: [{providers: [{}]}]", "tracing[0].providers[0].name"),
        ("tracing: [{randomSamplingPercentage: 100.5}]", "tracing[0].randomSamplingPercentage"),
        ("tracing: [{customTags: {a: {}}}]", "tracing[0].customTags.a"),
        ("tracing: [{customTags: {a: {literal: {value: ''}}}}]", "tracing[0].customTags.a.literal.value"),
        ("tracing: [{customTags: {a: {header: {}}}}]", "tracing[0].customTags.a.header.name"),
        ("tracing: [{customTags: {a: {environment: {}}}}]", "tracing[0].customTags.a.environment.name"),
        (
            "tracing: [{customTags: {a: {literal: {value: x}, header: {name: z}}}}]",
            "tracing[0].customTags.a.header",
        ),
        ("accessLogging: [{filter: {}}]", "accessLogging[0].filter.expression"),
        ("accessLogging: [{providers: [{name: ''}]}]", "accessLogging[0].providers[0].name"),
        ("metrics: [{overrides: [{match: {customMetric: ''}}]}]", "metrics[0].overrides[0].match.customMetric"),
        ("metrics: [{overrides: [{tagOverrides: {a: {}}}]}]", "metrics[0].overrides[0].tagOverrides.a.value"),
        (
            "metrics: [{overrides: [{tagOverrides: {a: {operation: REMOVE, value: x}}}]}]",
            "metrics[0].overrides[0].tagOverrides.a.value",
        ),
        ("targetRefs: [{kind: Gateway, name: edge}]", "targetRefs"),
        ("targetRef: {kind: Gateway, name: edge}", "targetRef"),
    ],
)
def test_what_istio_refuses_is_refused_at_its_place(spec: str, place: str) -> None:
    assert [field for field, _ in errors("Telemetry", spec)] == [place]
