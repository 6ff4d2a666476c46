"""Extension providers: what MeshConfig may say of who takes spans and access logs."""

from __future__ import annotations

import pytest

from tests.policy.test_mesh_config import parse
from xds_server.debug.configz import config_objects
from xds_server.policy.extension_provider import SERVED_BY_NOBODY
from xds_server.policy.mesh_config import MeshConfigSpec
from xds_server.policy.proxy_config import OF_ANOTHER_TRACER, OF_THE_AGENT
from xds_server.problem import Severity


def mistakes(*providers: str) -> list[str]:
    """The fields of errors, below extensionProviders."""
    _, problems = parse(f"{{kind: MeshConfig, extensionProviders: [{', '.join(providers)}]}}")
    return [p.field.removeprefix("spec.extensionProviders") for p in problems if p.severity is Severity.ERROR]


@pytest.mark.parametrize(
    "provider",
    [
        "opentelemetry: {service: otel, port: 4317, grpc: {timeout: 3s, initialMetadata: [{name: a, value: b}]}}",
        "opentelemetry: {service: ns/otel, port: 4318, http: {path: v1/traces, timeout: 3s}}",
        "zipkin: {service: zipkin.example.com, port: 9411, enable64bitTraceId: true, path: /here}",
        "datadog: {service: dd, port: 8126}",
        "skywalking: {service: oap, port: 11800, accessToken: t}",
        "zipkin: {service: a, port: 1, headers: [{name: x-a, value: b}, {name: x-c, envName: D}]}",
        "opentelemetry: {service: otel, port: 1, http: {}, dynatraceSampler: {tenant: t, clusterId: -5}}",
        "opentelemetry: {service: otel, port: 1, dynatraceSampler: {tenant: t, clusterId: 5, httpService:"
        " {service: a, port: 1, http: {path: /a}}}}",
        "envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {a: '%PROTOCOL%'}}}",
        "envoyHttpAls: {service: als, port: 9000}",
        "envoyTcpAls: {service: als, port: 9000}",
        "envoyOtelAls: {service: als, port: 9000, logFormat: {text: x, labels: {a: b}}}",
        "prometheus: {}",
    ],
)
def test_each_kind_is_read(provider: str) -> None:
    assert mistakes(f"{{name: one, {provider}}}") == []


@pytest.mark.parametrize(
    ("provider", "place"),
    [
        ("{opentelemetry: {service: otel, port: 1}}", "[0].name"),
        ("{name: one}", "[0]"),
        ("{name: one, prometheus: {}, datadog: {service: dd, port: 1}}", "[0].prometheus"),
        ("{name: one, datadog: {service: dd, port: 0}}", "[0].datadog.port"),
        ("{name: one, datadog: {service: 'a b', port: 1}}", "[0].datadog.service"),
        ("{name: one, opentelemetry: {service: a, port: 1, http: {}, grpc: {}}}", "[0].opentelemetry.grpc"),
        (
            "{name: one, opentelemetry: {service: a, port: 1, dynatraceSampler: {tenant: t, clusterId: 5}}}",
            "[0].opentelemetry.dynatraceSampler",
        ),
        (
            "{name: one, zipkin: {service: a, port: 1, headers: [{name: 'a b', value: c}]}}",
            "[0].zipkin.headers[0].name",
        ),
        (
            '{name: one, zipkin: {service: a, port: 1, headers: [{name: a, value: "b\\nc"}]}}',
            "[0].zipkin.headers[0].value",
        ),
        ("{name: one, zipkin: {service: a, port: 1, headers: [{name: a, value: 5%}]}}", "[0].zipkin.headers[0].value"),
        ('{name: one, skywalking: {service: a, port: 1, accessToken: "b\\nc"}}', "[0].skywalking.accessToken"),
    ],
)
def test_what_istio_refuses_is_refused_at_its_place(provider: str, place: str) -> None:
    assert mistakes(provider) == [place]


def test_a_name_is_given_once_whatever_its_case() -> None:
    assert mistakes("{name: one, prometheus: {}}", "{name: ONE, prometheus: {}}") == ["[1].name"]


def test_what_may_be_a_secret_is_shown_by_no_text_of_its_policy() -> None:
    document, _ = parse(
        "{kind: MeshConfig, extensionProviders: [{name: one, skywalking: {service: a, port: 1, accessToken: t0ken}},"
        " {name: two, zipkin: {service: a, port: 1, headers: [{name: x-a, value: t0ken}]}}]}"
    )

    assert document is not None
    assert "t0ken" not in f"{document} {document.spec!r}"
    (shown,) = config_objects([document])
    assert "t0ken" not in str(shown)
    assert "accessToken" in str(shown)


@pytest.mark.parametrize(
    "provider",
    [
        "skywalking: {service: a, port: 1, accessToken: 918273}",
        "zipkin: {service: a, port: 1, headers: [{name: x-a, value: 918273}]}",
        "zipkin: {service: a, port: 1, headers: [918273]}",
        "zipkin: {service: a, port: 1, headers: 918273}",
        "zipkin: {service: a, port: 1, headers: [{name: x-a, value: 91%8273%}]}",
    ],
)
def test_what_may_be_a_secret_is_not_told_of_when_it_is_written_wrongly(provider: str) -> None:
    document, problems = parse(f"{{kind: MeshConfig, extensionProviders: [{{name: one, {provider}}}]}}")

    assert document is None
    assert problems
    assert "8273" not in str(problems)


def test_who_authorizes_requests_from_outside_is_told_to_serve_nobody() -> None:
    """The one kind of policy that names it is refused itself."""
    _, problems = parse(
        "{kind: MeshConfig, extensionProviders: [{name: one, envoyExtAuthzGrpc: {service: a, port: 1}}]}"
    )

    assert [(problem.field, problem.code) for problem in problems] == [
        ("spec.extensionProviders[0].envoyExtAuthzGrpc", "no-effect")
    ]


def test_what_serves_nothing_here_is_told() -> None:
    document, problems = parse(
        "{kind: MeshConfig, extensionProviders: [{name: one, lightstep: {service: a, port: 1, accessToken: x}}],"
        " defaultConfig: {concurrency: 2, tracing: {zipkin: {address: a}, sampling: 5}}}"
    )

    assert document is not None
    assert isinstance(document.spec, MeshConfigSpec)
    assert sorted((problem.field, problem.code, problem.message) for problem in problems) == [
        ("spec.defaultConfig.concurrency", "no-effect", f"has no effect here: {OF_THE_AGENT['concurrency']}"),
        ("spec.defaultConfig.tracing.zipkin", "no-effect", f"has no effect here: {OF_ANOTHER_TRACER['zipkin']}"),
        ("spec.extensionProviders[0].lightstep", "no-effect", f"has no effect here: {SERVED_BY_NOBODY['lightstep']}"),
    ]
