"""Several DestinationRules for one host make one TrafficRule."""

from __future__ import annotations

import pytest

from tests.builders import codes, compiled, document, endpoint, entry, istio, policy_set, service
from xds_server.compiler.destination_rule import backend, rule_candidates, target, traffic_rule, unknown_host
from xds_server.compiler.finding import Outcome
from xds_server.mesh.host import Names
from xds_server.mesh.traffic import LoadBalancing, OutlierDetection, TlsMode, TrafficRule

NAMES = Names({"reviews": "default"})


def rule(spec: str, *, name: str = "one", host: str = "reviews", metadata: str = "") -> str:
    return istio("DestinationRule", f'host: "{host}", {spec}', name=name, metadata=metadata)


def merged(*specs: str) -> Outcome[TrafficRule]:
    """The rules `a`, `b`, ... in order of precedence."""
    texts = [rule(spec, name=name) for name, spec in zip("abc", specs, strict=False)]
    return traffic_rule(policy_set(*texts).documents)


def test_no_rule_is_istios_default() -> None:
    assert traffic_rule(()).value.policies == TrafficRule().policies


def test_sections_come_from_whichever_rule_has_them() -> None:
    """Istio takes all from the first rule that has a traffic policy and loses the rest in silence."""
    outcome = merged(
        "trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}", "trafficPolicy: {loadBalancer: {simple: RANDOM}}"
    )
    policy = outcome.value.policies.default

    assert (policy.connection_pool.max_connections, policy.load_balancer.policy) == (7, LoadBalancing.RANDOM)
    assert [origin.name for origin in outcome.value.origins] == ["a", "b"]
    assert outcome.problems == ()


def test_section_given_twice_is_decided_by_precedence_and_reported() -> None:
    outcome = merged(
        "trafficPolicy: {loadBalancer: {simple: RANDOM}}", "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}"
    )
    (problem,) = outcome.problems

    assert outcome.value.policies.default.load_balancer.policy is LoadBalancing.RANDOM
    assert (problem.code, problem.name, problem.field) == ("duplicate-section", "b", "spec.trafficPolicy.loadBalancer")
    assert "DestinationRule/default/a" in problem.message


def test_older_rule_comes_first() -> None:
    texts = [
        rule("trafficPolicy: {loadBalancer: {simple: RANDOM}}", name="a"),
        rule(
            "trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}",
            name="b",
            metadata="creationTimestamp: 2020-01-01T00:00:00Z",
        ),
    ]
    found = traffic_rule(policy_set(*texts).documents).value

    assert found.policies.default.load_balancer.policy is LoadBalancing.ROUND_ROBIN


def test_settings_of_a_port_replace_the_whole_policy() -> None:
    """Istio's rule: nothing is inherited, the retry budget no more than the rest."""
    found = merged(
        "trafficPolicy: {loadBalancer: {simple: RANDOM}, outlierDetection: {}, retryBudget: {},"
        " portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 7}}}]}"
    ).value
    policy = found.policy_for(80)

    assert policy.connection_pool.max_connections == 7
    assert policy.load_balancer.policy is LoadBalancing.LEAST_REQUEST
    assert (policy.outlier_detection, policy.retry_budget) == (None, None)
    assert found.policy_for(81).outlier_detection == OutlierDetection()


def test_settings_of_different_ports_come_from_different_rules() -> None:
    settings = "trafficPolicy: {{portLevelSettings: [{{port: {{number: {0}}}, loadBalancer: {{simple: RANDOM}}}}]}}"
    outcome = merged(settings.format(80), settings.format(81))

    assert [number for number, _ in outcome.value.policies.by_port] == [80, 81]
    assert outcome.problems == ()


def test_settings_of_one_port_given_twice_are_reported() -> None:
    settings = "trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: %s}}]}"
    outcome = merged(settings % "RANDOM", settings % "ROUND_ROBIN")

    assert outcome.value.policy_for(80).load_balancer.policy is LoadBalancing.RANDOM
    assert [(problem.code, problem.name) for problem in outcome.problems] == [("duplicate-section", "b")]


def test_port_that_drops_the_tls_around_it_is_reported() -> None:
    outcome = merged(
        "trafficPolicy: {tls: {mode: SIMPLE},"
        " portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}"
    )
    tls = outcome.value.policy_for(81).tls

    assert tls is not None
    assert tls.mode is TlsMode.SIMPLE
    assert outcome.value.policy_for(80).tls is None
    assert codes(outcome.problems) == ["port-drops-tls"]


def test_subset_overrides_section_by_section() -> None:
    found = merged(
        "trafficPolicy: {loadBalancer: {simple: RANDOM}, outlierDetection: {}},"
        " subsets: [{name: v1, labels: {v: v1}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}]"
    ).value
    policy = found.policy_for(80, "v1")

    assert policy.load_balancer.policy is LoadBalancing.ROUND_ROBIN
    assert policy.outlier_detection == OutlierDetection()


def test_subset_lies_over_the_settings_of_the_port() -> None:
    found = merged(
        "trafficPolicy: {outlierDetection: {},"
        " portLevelSettings: [{port: {number: 80}, connectionPool: {tcp: {maxConnections: 7}}}]},"
        " subsets: [{name: v1, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}]"
    ).value
    policy = found.policy_for(80, "v1")

    assert (policy.connection_pool.max_connections, policy.outlier_detection) == (7, None)
    assert policy.load_balancer.policy is LoadBalancing.ROUND_ROBIN


def test_port_of_a_subset_replaces_all_but_the_retry_budget() -> None:
    """Istio replaces load balancer, pools, outlier detection and tls, and keeps the rest of the rule's."""
    found = merged(
        "trafficPolicy: {outlierDetection: {}, retryBudget: {percent: 5.0}}, subsets: [{name: v1,"
        " trafficPolicy: {portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}}]"
    ).value
    policy = found.policy_for(80, "v1")

    assert (policy.load_balancer.policy, policy.outlier_detection) == (LoadBalancing.RANDOM, None)
    assert policy.retry_budget is not None


def test_subsets_of_several_rules_are_joined() -> None:
    found = merged("subsets: [{name: v1, labels: {b: x, a: z}}]", "subsets: [{name: v2}]").value

    assert [subset.name for subset in found.subsets] == ["v1", "v2"]
    assert found.subsets[0].labels == (("a", "z"), ("b", "x"))


def test_subset_defined_twice_is_decided_by_precedence_and_reported() -> None:
    outcome = merged("subsets: [{name: v1, labels: {v: a}}]", "subsets: [{name: v1, labels: {v: b}}]")

    assert [subset.labels for subset in outcome.value.subsets] == [(("v", "a"),)]
    assert [(problem.code, problem.name) for problem in outcome.problems] == [("duplicate-subset", "b")]


def test_failover_without_outlier_detection_is_reported() -> None:
    """Istio is silent, and nothing ever fails over."""
    outcome = merged("trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}}")
    (problem,) = outcome.problems

    assert problem.code == "inert-failover"
    assert problem.field == "spec.trafficPolicy.loadBalancer.localityLbSetting.failover"


def test_failover_may_rely_on_the_outlier_detection_of_another_rule() -> None:
    outcome = merged(
        "trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}}",
        "trafficPolicy: {outlierDetection: {}}",
    )

    assert outcome.problems == ()


@pytest.mark.parametrize(
    ("host", "meant"), [("reviews.default", "reviews"), ("*.Example.com", "*.example.com"), ("ratings", "")]
)
def test_rule_is_for_the_service_that_its_host_means(host: str, meant: str) -> None:
    found = document(rule("subsets: [{name: v1}]", host=host))

    assert target(found, NAMES) == meant
    assert meant.startswith("*") or meant in {"", *rule_candidates(found)}


def test_host_that_no_service_has_is_reported_with_the_nearest_name() -> None:
    (problem,) = unknown_host(document(rule("subsets: [{name: v1}]", host="reveiws")), ("ratings", "reviews")).problems

    assert (problem.code, problem.field, problem.fix) == ("unknown-host", "spec.host", "did you mean reviews?")


@pytest.mark.parametrize(("labels", "found"), [("{v: v1}", []), ("{}", []), ("{v: v2}", ["subset-selects-nothing"])])
def test_subset_that_selects_nothing_is_reported(labels: str, found: list[str]) -> None:
    documents = policy_set(rule(f"subsets: [{{name: one, labels: {labels}}}]")).documents
    outcome = backend(service(endpoints=[endpoint(v="v1")]), traffic_rule(documents), documents)

    assert codes(outcome.problems) == found


def test_subset_of_a_service_without_endpoints_is_not_reported() -> None:
    """Its workloads may still come."""
    documents = policy_set(rule("subsets: [{name: one, labels: {v: v2}}]")).documents

    assert backend(service(endpoints=[]), traffic_rule(documents), documents).problems == ()


def test_subset_of_a_service_that_is_looked_up_by_each_name_is_told_to_be_the_whole() -> None:
    wild = entry("*.example.com", "resolution: DYNAMIC_DNS")
    subsets = "subsets: [{name: v1, labels: {v: v1}}, {name: all}]"

    _, problems = compiled(wild, istio("DestinationRule", f'host: "*.example.com", {subsets}'))

    assert [(problem.code, problem.field) for problem in problems] == [("no-effect", "spec.subsets[0].labels")]
