"""What Telemetries and MeshConfig mean together, by Istio's order of precedence."""

from __future__ import annotations

import pytest

from tests.builders import compiled, istio, policy_set
from xds_server.compiler.compile import compile_mesh
from xds_server.compiler.premises import Environment, Premises
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.telemetry import FileLog, OpenTelemetry, SkyWalking, Tag, TagSource, Tracing, Zipkin
from xds_server.mesh.workload import Role
from xds_server.problem import Problem

PROVIDERS = (
    "extensionProviders: [{name: one, opentelemetry: {service: otel, port: 4317}},"
    " {name: two, zipkin: {service: otel, port: 9411}},"
    " {name: here, envoyFileAccessLog: {path: /here}}, {name: there, envoyFileAccessLog: {path: /there}}]"
)
OTEL = istio(
    "ServiceEntry",
    "hosts: [otel], resolution: STATIC, endpoints: [{address: 10.0.0.9}], ports:"
    " [{number: 4317, name: grpc, protocol: GRPC}, {number: 9411, name: http, protocol: HTTP}]",
)
WEB = (("app", "web"),)


def config(spec: str) -> str:
    return istio("MeshConfig", spec).replace("/v1\n", "/v1alpha1\n")


def telemetry(spec: str, *, name: str = "one", namespace: str = "default", selector: str = "") -> str:
    labels = f"selector: {{matchLabels: {{{selector}}}}}, " if selector else ""
    return istio("Telemetry", labels + spec, name=name, namespace=namespace)


def mesh(*texts: str, defaults: str = "rootNamespace: root") -> Mesh:
    return compiled(config(f"{PROVIDERS}, {defaults}") + OTEL + "".join(texts))[0]


def told(*texts: str, defaults: str = "rootNamespace: root") -> list[Problem]:
    return list(compiled(config(f"{PROVIDERS}, {defaults}") + OTEL + "".join(texts))[1])


def tracing(found: Mesh, role: Role = Role.CLIENT) -> Tracing | None:
    return found.telemetry.reports("default", WEB, role).tracing


def logs(found: Mesh, role: Role = Role.CLIENT) -> list[str]:
    reports = found.telemetry.reports("default", WEB, role)
    return [log.logger.path for log in reports.logs if isinstance(log.logger, FileLog)]


def sampling(*texts: str, defaults: str = "rootNamespace: root") -> float:
    found = tracing(mesh(*texts, defaults=f"{defaults}, defaultProviders: {{tracing: [one]}}"))
    assert found is not None
    return found.sampling


def test_nothing_is_traced_or_logged_unless_somebody_says_so() -> None:
    assert tracing(mesh()) is None
    assert logs(mesh()) == []


def test_one_percent_is_traced_where_nobody_says_how_much() -> None:
    assert sampling() == 1.0


@pytest.mark.parametrize(("written", "meant"), [("25", 25.0), ("0", 1.0), ("250", 1.0)])
def test_sampling_of_the_mesh_is_read_as_istio_reads_it(written: str, meant: float) -> None:
    defaults = f"rootNamespace: root, defaultConfig: {{tracing: {{sampling: {written}}}}}"

    assert sampling(defaults=defaults) == meant


def test_the_narrower_policy_decides_field_by_field() -> None:
    root = telemetry("tracing: [{randomSamplingPercentage: 10, providers: [{name: two}]}]", namespace="root")
    namespace = telemetry("tracing: [{randomSamplingPercentage: 20}]")
    workload = telemetry("tracing: [{randomSamplingPercentage: 0}]", name="web", selector="app: web")

    assert sampling(root) == 10
    assert sampling(root, namespace) == 20
    assert sampling(root, namespace, workload) == 0
    found = tracing(mesh(root, namespace, workload))
    assert found is not None
    assert found.tracer.collector.port == 9411


def test_tags_of_a_narrower_policy_take_the_place_of_all_others() -> None:
    wide = telemetry("tracing: [{providers: [{name: one}], customTags: {a: {literal: {value: x}}}}]", namespace="root")
    narrow = telemetry("tracing: [{customTags: {b: {header: {name: h, defaultValue: z}}}}]")
    found = tracing(mesh(wide, narrow))

    assert found is not None
    assert found.tags == (Tag("b", TagSource.HEADER, "h", "z"),)


def test_a_rule_for_one_side_leaves_the_other() -> None:
    found = mesh(telemetry("tracing: [{match: {mode: SERVER}, providers: [{name: one}]}]"))

    assert tracing(found, Role.CLIENT) is None
    assert tracing(found, Role.SERVER) is not None


def test_spans_can_be_switched_off() -> None:
    both = "rootNamespace: root, defaultProviders: {tracing: [one]}"

    assert tracing(mesh(telemetry("tracing: [{disableSpanReporting: true}]"), defaults=both)) is None


def test_policies_of_other_namespaces_and_workloads_say_nothing() -> None:
    elsewhere = telemetry("tracing: [{providers: [{name: one}]}]", namespace="elsewhere")
    other = telemetry("tracing: [{providers: [{name: one}]}]", name="other", selector="app: other")
    selecting_in_root = telemetry("tracing: [{providers: [{name: one}]}]", namespace="root", selector="app: web")

    assert tracing(mesh(elsewhere, other, selecting_in_root)) is None


def test_of_two_for_one_scope_the_older_holds_and_the_other_is_an_error() -> None:
    old = telemetry("tracing: [{providers: [{name: one}]}]", name="b").replace(
        "namespace: default}", "namespace: default, creationTimestamp: 2020-01-01T00:00:00Z}"
    )
    new = telemetry("tracing: [{providers: [{name: two}]}]", name="a")
    found = tracing(mesh(old, new))

    assert found is not None
    assert found.tracer.collector.port == 4317
    assert [(problem.name, problem.code) for problem in told(old, new)] == [("a", "duplicate-scope")]


def test_a_provider_that_nobody_has_is_an_error_with_the_nearest_name_and_the_rest_ships() -> None:
    written = telemetry("tracing: [{providers: [{name: ome}]}], accessLogging: [{providers: [{name: here}]}]")
    (problem,) = told(written)

    assert (problem.code, problem.field, problem.fix) == (
        "unknown-provider",
        "spec.tracing[0].providers[0].name",
        "did you mean one?",
    )
    assert logs(mesh(written)) == ["/here"]
    assert tracing(mesh(written)) is None


def test_names_are_compared_without_case() -> None:
    assert tracing(mesh(telemetry("tracing: [{providers: [{name: ONE}]}]"))) is not None


def in_environment(entry: str, **variables: str) -> tuple[Mesh, tuple[Problem, ...]]:
    """A mesh whose spans go to one provider, compiled by a server with these variables."""
    written = f"extensionProviders: [{{name: one, {entry}}}], defaultProviders: {{tracing: [one]}}"
    premises = Premises(environment=Environment(variables))
    return compile_mesh(policy_set(config(written) + OTEL), Memo(), premises)


IN_HEADERS = "zipkin: {service: otel, port: 9411, headers: [{name: x-a, envName: A}, {name: x-b, value: b}]}"
IN_METADATA = "opentelemetry: {service: otel, port: 4317, grpc: {initialMetadata: [{name: x-a, envName: A}]}}"


@pytest.mark.parametrize(
    ("entry", "value", "headers"),
    [
        (IN_HEADERS, "secret\n", (("x-a", "secret"), ("x-b", "b"))),
        (IN_HEADERS, "5 %", (("x-a", "5 %%"), ("x-b", "b"))),
        (IN_METADATA, "secret", (("x-a", "secret"),)),
    ],
)
def test_header_has_what_the_servers_environment_has(entry: str, value: str, headers: tuple[tuple[str, str]]) -> None:
    """A per cent sign begins a variable of Envoy's, which this is not."""
    found, problems = in_environment(entry, A=value)
    told = tracing(found)

    assert told is not None
    assert isinstance(told.tracer, OpenTelemetry | Zipkin)
    assert told.tracer.headers == headers
    assert problems == ()
    assert "secret" not in repr(told)


@pytest.mark.parametrize(
    ("entry", "variables", "place"),
    [
        (IN_HEADERS, {}, "zipkin.headers[0].envName"),
        (IN_HEADERS, {"A": "two\nlines"}, "zipkin.headers[0].envName"),
        (IN_HEADERS, {"A": "no UTF-8 \udcff"}, "zipkin.headers[0].envName"),
        (IN_HEADERS, {"A": "%" * 8193}, "zipkin.headers[0].envName"),
        (IN_METADATA, {"A": "5 %"}, "opentelemetry.grpc.initialMetadata[0].envName"),
    ],
)
def test_header_that_cannot_be_sent_is_left_out_with_a_warning(
    entry: str, variables: dict[str, str], place: str
) -> None:
    found, problems = in_environment(entry, **variables)
    told = tracing(found)

    assert [(problem.code, problem.field) for problem in problems] == [
        ("unset-variable", f"spec.extensionProviders[0].{place}")
    ]
    assert told is not None
    assert isinstance(told.tracer, OpenTelemetry | Zipkin)
    assert "x-a" not in dict(told.tracer.headers)


DYNATRACE = "opentelemetry: {service: otel, port: 9411, http: {headers: [{name: x-a, envName: A}]}, dynatraceSampler: "


def test_sampler_is_asked_about_every_request_where_spans_go_and_by_the_same_headers() -> None:
    found, _ = in_environment(DYNATRACE + "{tenant: t, clusterId: 1}}", A="5 %")
    told = tracing(found)

    assert told is not None
    assert isinstance(told.tracer, OpenTelemetry)
    assert told.sampling == 100
    sampler = told.tracer.sampler
    assert sampler is not None
    # No variable begins in a header of its own requests.
    assert (sampler.path, sampler.headers) == ("/api/v2/samplingConfiguration", (("x-a", "5 %"),))
    assert told.collectors == (told.tracer.collector, told.tracer.collector)


def test_sampler_that_nobody_can_ask_is_told() -> None:
    lost = "{tenant: t, clusterId: 1, httpService: {service: nowhere, port: 1, http: {}}}}"
    _, problems = in_environment(DYNATRACE + lost, A="a")

    assert [(problem.code, problem.field) for problem in problems] == [
        ("unknown-collector", "spec.extensionProviders[0].opentelemetry.dynatraceSampler.httpService.service")
    ]


def test_token_of_skywalking_is_known_to_its_tracer_alone() -> None:
    found, _ = in_environment("skywalking: {service: otel, port: 4317, accessToken: secret}")
    told = tracing(found)

    assert told is not None
    assert isinstance(told.tracer, SkyWalking)
    assert told.tracer.token == "secret"  # noqa: S105 # of this test
    assert "secret" not in repr(found.telemetry)


def test_istios_own_provider_needs_no_mesh_config() -> None:
    found, problems = compiled(telemetry("accessLogging: [{providers: [{name: envoy}]}]"))

    assert logs(found) == ["/dev/stdout"]
    assert not problems


def test_the_file_of_the_mesh_is_for_those_of_whom_nothing_is_said() -> None:
    defaults = "rootNamespace: root, accessLogFile: /all"

    assert logs(mesh(defaults=defaults)) == ["/all"]
    assert logs(mesh(telemetry("accessLogging: [{providers: [{name: here}]}]"), defaults=defaults)) == ["/here"]


def test_providers_of_a_narrower_policy_take_the_place_of_the_wider_ones() -> None:
    root = telemetry("accessLogging: [{providers: [{name: here}]}]", namespace="root")
    mine = telemetry("accessLogging: [{providers: [{name: there}]}]")

    assert logs(mesh(root)) == ["/here"]
    assert logs(mesh(root, mine)) == ["/there"]


def test_a_rule_that_names_no_provider_is_about_those_before_it() -> None:
    root = telemetry("accessLogging: [{providers: [{name: here}, {name: there}]}]", namespace="root")
    off = telemetry("accessLogging: [{disabled: true, match: {mode: CLIENT}}]")
    found = mesh(root, off, defaults="rootNamespace: root, accessLogFile: /all")

    assert logs(found, Role.CLIENT) == []
    assert logs(found, Role.SERVER) == ["/here", "/there"]


def test_a_filter_counts_for_the_default_provider_too() -> None:
    found = mesh(
        telemetry("accessLogging: [{filter: {expression: 'response.code > 1'}}]"),
        defaults="rootNamespace: root, defaultProviders: {accessLogging: [here]}",
    )

    assert [log.filter for log in found.telemetry.reports("default", WEB, Role.CLIENT).logs] == ["response.code > 1"]


def test_what_switches_nothing_off_is_told() -> None:
    off = telemetry("accessLogging: [{disabled: true}]")
    (problem,) = told(off, defaults="rootNamespace: root, accessLogFile: /all")

    assert (problem.code, problem.field) == ("still-logged", "spec.accessLogging[0].disabled")
    assert not told(off, defaults="rootNamespace: root, accessLogFile: /all, defaultProviders: {accessLogging: [here]}")


@pytest.mark.parametrize(
    ("provider", "code", "field"),
    [
        ("opentelemetry: {service: otl, port: 4317}", "unknown-collector", "opentelemetry.service"),
        ("opentelemetry: {service: other/otel, port: 4317}", "unknown-collector", "opentelemetry.service"),
        ("opentelemetry: {service: otel, port: 1}", "unknown-collector", "opentelemetry.port"),
        ("opentelemetry: {service: otel, port: 9411}", "collector-protocol", "opentelemetry.port"),
        ("envoyHttpAls: {service: otel, port: 9411}", "collector-protocol", "envoyHttpAls.port"),
    ],
)
def test_a_collector_that_cannot_be_reached_is_told_at_its_provider(provider: str, code: str, field: str) -> None:
    _, (problem,) = compiled(config(f"extensionProviders: [{{name: one, {provider}}}]") + OTEL)

    assert (problem.code, problem.field) == (code, f"spec.extensionProviders[0].{field}")


def test_otlp_by_http_needs_no_http2() -> None:
    spec = "extensionProviders: [{name: one, opentelemetry: {service: otel, port: 9411, http: {}}}]"

    assert not compiled(config(spec) + OTEL)[1]


def test_a_json_format_that_is_no_object_is_told_and_istios_is_used() -> None:
    found, (problem,) = compiled(config("accessLogFile: /all, accessLogEncoding: JSON, accessLogFormat: '[1]'"))

    assert problem.field == "spec.accessLogFormat"
    assert found.telemetry.defaults.log_file is not None
    assert found.telemetry.defaults.log_file.format.fields == ""


def test_an_edit_takes_effect_and_a_removal_too() -> None:
    memo, base = Memo(), config(PROVIDERS) + OTEL
    one = telemetry("tracing: [{providers: [{name: one}]}]")

    assert tracing(compile_mesh(policy_set(base), memo)[0]) is None
    assert tracing(compile_mesh(policy_set(base, one), memo)[0]) is not None
    assert tracing(compile_mesh(policy_set(base), memo)[0]) is None


@pytest.mark.parametrize(
    ("rule", "warned"),
    [
        ("useRequestIdForTraceSampling: false, randomSamplingPercentage: 1", True),
        ("useRequestIdForTraceSampling: false", True),
        ("useRequestIdForTraceSampling: false, randomSamplingPercentage: 100", False),
        ("useRequestIdForTraceSampling: true, randomSamplingPercentage: 1", False),
    ],
)
def test_a_share_that_no_request_id_draws_is_met_with_a_warning(rule: str, warned: bool) -> None:
    """Envoy then traces everything, as Istio's documents do not say."""
    codes = [problem.code for problem in told(telemetry(f"tracing: [{{{rule}}}]"))]

    assert ("all-traced" in codes) is warned


@pytest.mark.parametrize(
    ("named", "warned"), [("", False), ("providers: [{name: drawn}], ", False), ("providers: [{name: two}], ", True)]
)
def test_where_a_sampler_draws_there_is_no_such_warning(named: str, warned: bool) -> None:
    sampler = "http: {path: /v1/traces}, dynatraceSampler: {tenant: t, clusterId: 1}"
    drawn = f"{{name: drawn, opentelemetry: {{service: otel, port: 9411, {sampler}}}}}"
    providers = PROVIDERS.replace("[", f"[{drawn}, ", 1)
    rule = telemetry(f"tracing: [{{{named}useRequestIdForTraceSampling: false}}]")
    _, problems, *_ = compiled(config(providers) + OTEL + rule)

    assert ("all-traced" in [problem.code for problem in problems]) is warned
