"""Endpoints that a localityLbSetting leaves without requests."""

from __future__ import annotations

import pytest

from tests.builders import compiled, entry, istio
from xds_server.problem import Problem

SERVICE = entry(
    spec="endpoints: [{address: 10.0.0.1, locality: a/1, labels: {v: v1}}, {address: 10.0.0.2, locality: b/1}]"
)


def found(setting: str) -> list[Problem]:
    balancer = f"trafficPolicy: {{loadBalancer: {{localityLbSetting: {{{setting}}}}}, outlierDetection: {{}}}}"
    rule = istio("DestinationRule", f"host: reviews, subsets: [{{name: v1, labels: {{v: v1}}, {balancer}}}]", name="s")
    own = istio("DestinationRule", f"host: reviews, {balancer}", name="one")
    problems = [*compiled(SERVICE, own)[1], *compiled(SERVICE, rule)[1]]
    return [problem for problem in problems if problem.code == "locality-without-share"]


def test_locality_that_has_no_share_is_told() -> None:
    """Istio takes its endpoints away in silence."""
    (problem,) = found('distribute: [{from: a/*, to: {"a/*": 100}}]')

    assert problem.field == "spec.trafficPolicy.loadBalancer.localityLbSetting.distribute[0].to"
    assert "in b/1" in problem.message


@pytest.mark.parametrize(
    "setting",
    [
        'distribute: [{from: a/*, to: {"a/*": 80, "b/*": 20}}]',
        'distribute: [{from: a/*, to: {"*": 100}}]',
        'enabled: false, distribute: [{from: a/*, to: {"a/*": 100}}]',
        "failover: [{from: a, to: b}]",
    ],
)
def test_nothing_is_told_where_all_have_a_share_or_none_is_asked_for(setting: str) -> None:
    assert not found(setting)
