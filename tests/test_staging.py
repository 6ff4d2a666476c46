"""In which steps mutual TLS changes, and how long each is waited for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import entry, istio, policy_set, workload
from xds_server.compiler.premises import Premises
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.security import MutualTls
from xds_server.pipeline import Generation, Pipeline
from xds_server.staging import SETTLES, Patience, Staging
from xds_server.xds import type_url

SERVICE = entry("web", "location: MESH_INTERNAL, endpoints: [{address: 10.0.0.1, serviceAccount: web}]")


class Lab:
    """A pipeline, a change under way, and what is in force."""

    def __init__(self, mode: str) -> None:
        self.pipeline = Pipeline(Premises(trust_domain=TrustDomain()))
        self.staging = Staging()
        self.now: Generation | None = None
        self.write(mode)

    def write(self, mode: str) -> None:
        """Policies with this mode for the mesh come."""
        asked = istio("PeerAuthentication", f"mtls: {{mode: {mode}}}")
        self.now = self.staging.begin(self.now, self.pipeline.compile(policy_set(SERVICE, asked)))

    def step(self) -> None:
        """Everybody has taken the last step."""
        self.now = self.staging.advance()

    @property
    def shown(self) -> tuple[str, bool]:
        """What servers ask for, and whether callers speak mesh TLS."""
        assert self.now is not None
        snapshot = self.pipeline.snapshot_for(self.now, workload("caller"))
        cluster = snapshot.of_type(type_url.CLUSTER)["outbound|80||web"]
        return self.now.mesh.peers.mode("default", ()).name, (type_url.SECRET, "default") in cluster.refs


@pytest.mark.parametrize(
    ("before", "after"),
    [("DISABLE", "STRICT"), ("DISABLE", "PERMISSIVE"), ("STRICT", "DISABLE"), ("PERMISSIVE", "DISABLE")],
)
def test_servers_take_both_before_callers_change_and_until_they_have(before: str, after: str) -> None:
    lab = Lab(before)
    seen = [lab.shown]
    lab.write(after)
    seen.append(lab.shown)
    while lab.staging.step:
        lab.step()
        seen.append(lab.shown)

    spoken = {"DISABLE": False, "PERMISSIVE": True, "STRICT": True}
    assert seen == [
        (before, spoken[before]),
        ("PERMISSIVE", spoken[before]),
        ("PERMISSIVE", spoken[after]),
        (after, spoken[after]),
    ]


@pytest.mark.parametrize(
    ("before", "after"), [("PERMISSIVE", "STRICT"), ("STRICT", "PERMISSIVE"), ("STRICT", "STRICT")]
)
def test_change_that_callers_need_not_follow_is_in_force_at_once(before: str, after: str) -> None:
    lab = Lab(before)
    lab.write(after)

    assert lab.shown == (after, True)
    assert not lab.staging.step


def test_first_policies_are_in_force_at_once() -> None:
    assert Lab("DISABLE").shown == ("DISABLE", False)


def test_other_edit_meanwhile_goes_on_from_where_the_change_is() -> None:
    lab = Lab("DISABLE")
    lab.write("STRICT")
    lab.write("STRICT")
    held_back = lab.shown
    lab.step()
    lab.write("STRICT")
    following = lab.shown
    lab.step()

    assert (held_back, following, lab.shown) == (("PERMISSIVE", False), ("PERMISSIVE", True), ("STRICT", True))


def test_change_that_is_taken_back_before_callers_knew_is_over() -> None:
    lab = Lab("DISABLE")
    lab.write("STRICT")
    lab.write("DISABLE")

    assert lab.shown == ("DISABLE", False)
    assert not lab.staging.step


def test_change_that_is_taken_back_while_callers_follow_takes_all_steps() -> None:
    lab = Lab("DISABLE")
    lab.write("STRICT")
    lab.step()
    lab.write("DISABLE")
    seen = [lab.shown]
    while lab.staging.step:
        lab.step()
        seen.append(lab.shown)

    assert seen == [("PERMISSIVE", True), ("PERMISSIVE", False), ("DISABLE", False)]


def test_problems_and_documents_are_those_of_the_new_policies_from_the_first_step() -> None:
    lab = Lab("DISABLE")
    goal = replace(lab.pipeline.compile(policy_set(SERVICE)), problems=())

    staged = lab.staging.begin(lab.now, goal)

    assert staged.policies is goal.policies
    assert staged.mesh is not goal.mesh


def test_port_that_nobody_switches_is_as_strict_as_the_new_policies_say_at_once() -> None:
    """A step waits for callers of the ports that change, and leaves no other door open."""
    lab = Lab("PERMISSIVE")
    opened = istio("PeerAuthentication", "selector: {matchLabels: {app: db}}, mtls: {mode: DISABLE}", name="db")
    strict = istio("PeerAuthentication", "mtls: {mode: STRICT}")
    staged = lab.staging.begin(lab.now, lab.pipeline.compile(policy_set(SERVICE, strict, opened)))

    assert staged.mesh.peers.mode("default", (("app", "db"),)) is MutualTls.PERMISSIVE
    assert staged.mesh.peers.mode("default", ()) is MutualTls.STRICT


def test_step_is_over_when_everybody_has_taken_it_for_a_while() -> None:
    patience = Patience(10)

    assert not patience.is_over(100, taken=True)
    assert not patience.is_over(100 + SETTLES / 2, taken=False)
    assert not patience.is_over(101, taken=True)
    assert patience.is_over(101 + SETTLES, taken=True)
    assert not patience.is_over(101 + SETTLES, taken=True), "the next step has to be taken too"


def test_whole_change_waits_no_longer_than_it_may() -> None:
    patience = Patience(10)
    waits = [patience.is_over(moment, taken=False) for moment in (0, 9, 10, 10.1)]
    patience.rest()

    assert waits == [False, False, True, True]
    assert not patience.is_over(11, taken=False)
