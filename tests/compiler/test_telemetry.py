"""What Telemetries and MeshConfig mean together, by Istio's order of precedence."""

from __future__ import annotations

import pytest

from tests.builders import compiled, istio, policy_set
from xds_server.compiler.compile import compile_mesh
from xds_server.memo import Memo
from xds_server.mesh.mesh import Mesh
from xds_server.mesh.telemetry import FileLog, Tag, TagSource, Tracing
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
