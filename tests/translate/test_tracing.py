"""How a tracer is told to Envoy; the goldens `tracing-*` show the rest."""

from __future__ import annotations

from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.trace import v3 as trace_v3

from xds_server.mesh.telemetry import Collector, OpenTelemetry, SkyWalking, Tracer, Tracing, Zipkin
from xds_server.translate.tracing import http_tracing, request_ids

TO = Collector("otel", 4317)


def opentelemetry(tracer: OpenTelemetry) -> trace_v3.OpenTelemetryConfig:
    provider = http_tracing(Tracing(tracer, 1)).provider
    assert provider is not None
    assert provider.typed_config is not None
    return trace_v3.OpenTelemetryConfig.parse(provider.typed_config.value)


def test_only_what_nobody_has_decided_is_sampled() -> None:
    found = http_tracing(Tracing(OpenTelemetry(TO), 12.5))

    shares = (found.client_sampling, found.random_sampling, found.overall_sampling)
    assert [share.value for share in shares if share] == [100, 12.5, 100]


def test_otlp_goes_by_grpc_or_by_http() -> None:
    by_grpc = opentelemetry(OpenTelemetry(TO, headers=(("tenant", "shop"),)))
    by_http = opentelemetry(OpenTelemetry(TO, "/v1/traces", timedelta(seconds=1)))

    assert by_grpc.http_service is None
    assert by_grpc.grpc_service is not None
    assert by_grpc.grpc_service.initial_metadata[0].value == "shop"
    assert by_http.grpc_service is None
    assert by_http.http_service is not None
    assert by_http.http_service.http_uri is not None
    assert by_http.http_service.http_uri.uri == "http://otel/v1/traces"


def test_resource_detectors_are_named() -> None:
    found = opentelemetry(OpenTelemetry(TO, detectors=("environment", "dynatrace"))).resource_detectors

    assert [each.name.rpartition(".")[2] for each in found] == ["environment", "dynatrace"]


@pytest.mark.parametrize(
    ("tracer", "spawns", "found"),
    [(OpenTelemetry(TO), False, None), (OpenTelemetry(TO), True, True), (SkyWalking(TO), False, True)],
)
def test_who_has_a_span_for_what_is_sent_on(tracer: Tracer, spawns: bool, found: bool | None) -> None:
    assert http_tracing(Tracing(tracer, 1, spawns=spawns)).spawn_upstream_span is found


def test_request_ids_decide_unless_a_policy_says_no() -> None:
    assert request_ids(Tracing(Zipkin(TO), 1)) is None
    assert request_ids(Tracing(Zipkin(TO), 1, by_request_id=False)) is not None
