"""Old spellings: taken as meant, and told."""

from __future__ import annotations

import pytest

from tests.policy.reading import errors, of_kind
from xds_server.policy.legacy import OLD_SPELLINGS, rewritten
from xds_server.policy.pattern import inside
from xds_server.policy.position import Positions
from xds_server.problem import Severity

NOWHERE = Positions(1, 1)
TIMEOUT = {"timeout": "5s"}


def today(kind: str, spec: object) -> object:
    return rewritten(kind, spec, NOWHERE, inside(spec)).spec


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"host": "a"}, {"hosts": ["a"]}),
        ({"host": ["a"]}, {"hosts": ["a"]}),
        ({"http": [{"websocketUpgrade": True}]}, {"http": [{}]}),
        ({"http": [{"appendHeaders": {"a": "b"}}]}, {"http": [{"headers": {"request": {"add": {"a": "b"}}}}]}),
        (
            {"http": [{"route": [{"removeResponseHeaders": ["a"]}]}]},
            {"http": [{"route": [{"headers": {"response": {"remove": ["a"]}}}]}]},
        ),
        ({"http": [TIMEOUT, {"mirrorPercent": 5}]}, {"http": [TIMEOUT, {"mirrorPercentage": {"value": 5}}]}),
        ({"http": [{"mirror_percent": 5}]}, {"http": [{"mirrorPercentage": {"value": 5}}]}),
        (
            {"http": [{"fault": {"delay": {"percent": 5}}}]},
            {"http": [{"fault": {"delay": {"percentage": {"value": 5}}}}]},
        ),
        (
            {"http": [{"corsPolicy": {"allowOrigin": ["a"]}}]},
            {"http": [{"corsPolicy": {"allowOrigins": [{"exact": "a"}]}}]},
        ),
    ],
)
def test_a_virtual_service_is_rewritten(old: object, new: object) -> None:
    assert today("VirtualService", old) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"circuitBreaker": {"interval": "1s"}}, {"outlierDetection": {"interval": "1s"}}),
        ({"circuitBreaker": {"consecutiveErrors": 5}}, {"outlierDetection": {"consecutive5xxErrors": 5}}),
        ({"loadBalancer": {"simple": "LEAST_CONN"}}, {"loadBalancer": {"simple": "LEAST_REQUEST"}}),
        ({"loadBalancer": {"simple": 1}}, {"loadBalancer": {"simple": "LEAST_REQUEST"}}),
        ({"loadBalancer": {"warmupDurationSecs": "9s"}}, {"loadBalancer": {"warmup": {"duration": "9s"}}}),
        (
            {"loadBalancer": {"consistentHash": {"httpHeader": "a", "minimumRingSize": 9}}},
            {"loadBalancer": {"consistentHash": {"httpHeaderName": "a", "ringHash": {"minimumRingSize": 9}}}},
        ),
    ],
)
@pytest.mark.parametrize("port", [False, True])
@pytest.mark.parametrize("subset", [False, True])
def test_a_destination_rule_is_rewritten_at_every_level(old: object, new: object, *, port: bool, subset: bool) -> None:
    def around(policy: object) -> object:
        inner = {"portLevelSettings": [policy]} if port else policy
        return {"subsets": [{"trafficPolicy": inner}]} if subset else {"trafficPolicy": inner}

    assert today("DestinationRule", around(old)) == around(new)


def test_what_is_spelled_for_today_is_the_same_object() -> None:
    spec = {"hosts": ["a"], "http": [{"timeout": "5s"}]}

    assert today("VirtualService", spec) is spec


def test_the_given_value_is_left_alone() -> None:
    spec = {"trafficPolicy": {"circuitBreaker": {"consecutiveErrors": 5}}}

    rewritten("DestinationRule", spec, NOWHERE, inside(spec))

    assert spec == {"trafficPolicy": {"circuitBreaker": {"consecutiveErrors": 5}}}


def test_each_use_is_noted_at_the_old_key() -> None:
    _, problems = of_kind(
        "DestinationRule",
        """
        host: a
        trafficPolicy:
          circuitBreaker:
            consecutiveErrors: 5
        """,
    )

    assert [(p.severity, p.code, p.line, p.column) for p in problems] == [
        (Severity.NOTE, "old-spelling", 7, 5),
        (Severity.NOTE, "old-spelling", 8, 7),
    ]
    assert [p.fix for p in problems] == ["write outlierDetection", "write consecutive5xxErrors"]


@pytest.mark.parametrize(
    ("kind", "spec", "fix"),
    [
        (
            "DestinationRule",
            "host: a, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 9}}}",
            "write ringHash.minimumRingSize",
        ),
        (
            "DestinationRule",
            "host: a, trafficPolicy: {loadBalancer: {simple: RANDOM, warmupDurationSecs: 9s}}",
            "write warmup.duration",
        ),
        (
            "VirtualService",
            "hosts: [a], http: [{mirror: {host: a}, mirrorPercent: 9, route: [{destination: {host: a}}]}]",
            "write mirrorPercentage.value",
        ),
    ],
)
def test_fix_names_the_very_key_that_holds_the_value_now(kind: str, spec: str, fix: str) -> None:
    _, problems = of_kind(kind, f"{{{spec}}}")

    assert [problem.fix for problem in problems] == [fix]


def test_a_mistake_inside_an_old_spelling_stands_where_it_was_written() -> None:
    document, problems = of_kind("DestinationRule", "host: a\ntrafficPolicy:\n  circuitBreaker: {interval: 5}")

    assert document is None
    (error,) = [problem for problem in problems if problem.severity is Severity.ERROR]
    assert error.field == "spec.trafficPolicy.outlierDetection.interval"
    assert (error.line, error.column) == (7, 22)


def test_a_later_look_finds_the_new_name_at_the_old_line() -> None:
    document, _ = of_kind("VirtualService", "host: a\nhttp: [{redirect: {uri: /}}]")

    assert document is not None
    assert document.positions.at(("spec", "hosts", 0)) == (5, 3)


def test_old_and_new_together_are_refused() -> None:
    found = errors("VirtualService", "host: a\nhosts: [b]\nhttp: [{redirect: {uri: /}}]")

    assert found == [("host", "host is the old spelling of hosts, and both are set")]


@pytest.mark.parametrize("percentage", ["4", "{value: 4}", "[]"])
def test_nothing_that_is_written_under_the_new_name_is_overwritten(percentage: str) -> None:
    route = f"{{redirect: {{uri: /}}, mirrorPercent: 10, mirrorPercentage: {percentage}}}"
    found = errors("VirtualService", f"hosts: [a]\nhttp: [{route}]")

    message = "mirrorPercent is the old spelling of mirrorPercentage.value, and both are set"
    assert ("http[0].mirrorPercent", message) in found


def test_every_row_says_since_when() -> None:
    assert all(row.since and row.advice() for row in OLD_SPELLINGS)
