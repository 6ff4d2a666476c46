"""How policies come into force. The Envoy here refuses what holds a word that the test states."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext

import pytest

from tests.builders import documents, entry, istio, policy_set, workload
from xds_server.admission import Admission
from xds_server.mesh.workload import Interception, Workload
from xds_server.pipeline import Generation, Pipeline
from xds_server.policy.document import Document, PolicySet
from xds_server.validation.envoy import Outcome, Verdict
from xds_server.validation.validator import Validator
from xds_server.xds import type_url
from xds_server.xds.snapshot import Snapshot

Refuses = Callable[[bytes], bool]
Timed = Callable[[str], AbstractContextManager[object]]
REVIEWS = documents(entry("reviews"))[0]
CLUSTER = "outbound|80||reviews"
THREE = ("node-1", "node-2", "node-3")


def rule(more: str = "") -> Document:
    """A DestinationRule for reviews; a new object each time, as after each edit."""
    return documents(istio("DestinationRule", f"host: reviews{more}", name="rule"))[0]


def route(prefix: str = "/") -> Document:
    """A VirtualService for reviews; the same."""
    match = f"match: [{{uri: {{prefix: {prefix}}}}}]"
    spec = f"hosts: [reviews], http: [{{{match}, route: [{{destination: {{host: reviews}}}}]}}]"
    return documents(istio("VirtualService", spec, name="route"))[0]


@asynccontextmanager
async def admission(refuses: Refuses | None = None, timed: Timed = nullcontext) -> AsyncIterator[Admission]:
    """With an Envoy that refuses so; without any, nothing is validated."""

    async def ask(bootstrap: bytes) -> Verdict:
        refused = refuses is not None and refuses(bootstrap)
        return Verdict(Outcome.INVALID, "no good") if refused else Verdict(Outcome.VALID)

    with ThreadPoolExecutor(1) as worker:
        yield Admission(Pipeline(), worker, Validator(ask) if refuses else None, timed=timed)


async def test_each_step_of_the_way_is_timed_by_its_name() -> None:
    """All three once more with the document that Envoy refuses left out; then what a proxy is sent."""
    steps = []

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        steps.append(name)
        yield
        steps.append(f"/{name}")

    async with admission(lambda bootstrap: b"/bad" in bootstrap, timed) as admitting:
        await admitting.admit(policy_set([REVIEWS, route("/bad")]))
        admitted = steps.copy()
        await admitting.snapshots_for([workload()])

    once = ["compile", "/compile", "translate", "/translate", "validate", "/validate"]
    assert len(admitted) >= 12
    assert admitted == once * (len(admitted) // 6)
    assert steps[len(admitted) :] == ["translate", "/translate"]


async def test_mutual_tls_changes_step_by_step_for_somebody_who_says_when() -> None:
    with ThreadPoolExecutor(1) as worker:
        admitting = Admission(Pipeline(), worker, in_steps=True)
        modes = [istio("PeerAuthentication", f"mtls: {{mode: {mode}}}") for mode in ("DISABLE", "STRICT")]
        await admitting.admit(policy_set(modes[0]))
        begun = await admitting.admit(policy_set(modes[1]))
        steps = [begun]
        while admitting.mutual_tls_step:
            steps.append(admitting.advance())

    assert [one.mesh.peers.mode("default", ()).name for one in steps] == ["PERMISSIVE", "PERMISSIVE", "STRICT"]
    assert [one.number for one in steps] == [2, 3, 4]
    assert admitting.generation is steps[-1]


def kinds(generation: Generation | None) -> set[str]:
    """Of the documents in force."""
    assert generation is not None
    return {document.kind for document in generation.policies.documents}


def refused(generation: Generation) -> list[tuple[str, str]]:
    """(kind, name) of what Envoy refuses."""
    return [(problem.kind, problem.name) for problem in generation.problems if problem.code == "refused-by-envoy"]


def names(snapshot: Snapshot | None, url: str) -> set[str]:
    assert snapshot is not None
    return set(snapshot.of_type(url))


async def test_without_an_envoy_everything_comes_into_force() -> None:
    async with admission() as admitting:
        generation = await admitting.admit(policy_set([REVIEWS, route("/bad")]))

        assert kinds(generation) == {"ServiceEntry", "VirtualService"}
        assert admitting.generation is generation


async def test_generations_are_numbered_by_what_came_into_force() -> None:
    """However many were tried on the way."""
    async with admission(lambda bootstrap: b"/bad" in bootstrap) as admitting:
        first = await admitting.admit(policy_set([REVIEWS, route("/bad")]))
        second = await admitting.admit(policy_set([REVIEWS, route("/good")]))

    assert (first.number, second.number) == (1, 2)


async def test_the_document_at_fault_is_kept_out_and_no_other() -> None:
    async with admission(lambda bootstrap: b"/bad" in bootstrap) as admitting:
        generation = await admitting.admit(policy_set([REVIEWS, rule(), route("/bad")]))

    assert refused(generation) == [("VirtualService", "route")]
    assert kinds(generation) == {"ServiceEntry", "DestinationRule"}


async def test_a_likely_suspect_that_is_innocent_stays_in_force() -> None:
    """Of a cluster the DestinationRule is suspected first; here it is an endpoint that Envoy does not like."""
    bad = documents(entry("reviews", "endpoints: [{address: 10.6.6.6}]"))[0]
    async with admission(lambda bootstrap: b"10.6.6.6" in bootstrap) as admitting:
        generation = await admitting.admit(policy_set([bad, rule()]))

    assert refused(generation) == [("ServiceEntry", "reviews")]
    assert kinds(generation) == {"DestinationRule"}


async def test_two_that_are_at_fault_are_both_kept_out() -> None:
    """Of one service: its endpoint, and a subset of its rule."""
    bad = documents(entry("reviews", "endpoints: [{address: 10.6.6.6}]"))[0]
    odd = rule(", subsets: [{name: odd}]")
    async with admission(lambda bootstrap: b"10.6.6.6" in bootstrap or b"|odd|" in bootstrap) as admitting:
        generation = await admitting.admit(policy_set([bad, odd, documents(entry("other"))[0]]))

    assert set(refused(generation)) == {("ServiceEntry", "reviews"), ("DestinationRule", "rule")}
    assert kinds(generation) == {"ServiceEntry"}


async def test_the_form_before_it_stays_in_force() -> None:
    good = route("/good")
    async with admission(lambda bootstrap: b"/bad" in bootstrap) as admitting:
        await admitting.admit(policy_set([REVIEWS, good]))
        generation = await admitting.admit(policy_set([REVIEWS, route("/bad")]))

    assert good in generation.policies.documents


async def test_the_form_of_before_the_restart_takes_the_place_of_what_envoy_refuses_at_first() -> None:
    good, bad = route("/good"), route("/bad")

    async def ask(bootstrap: bytes) -> Verdict:
        return Verdict(Outcome.INVALID, "no good") if b"/bad" in bootstrap else Verdict(Outcome.VALID)

    with ThreadPoolExecutor(1) as worker:
        admitting = Admission(Pipeline(), worker, Validator(ask), {bad: good}.get)
        generation = await admitting.admit(policy_set([REVIEWS, bad]))

    assert refused(generation) == [("VirtualService", "route")]
    assert set(generation.policies.documents) == {REVIEWS, good}


async def test_what_nobody_is_to_blame_for_is_sent() -> None:
    """A defect of ours must not stop the mesh; proxies say what they think of it."""
    async with admission(lambda bootstrap: b"BlackHoleCluster" in bootstrap) as admitting:
        many = [documents(entry(f"s{number}"))[0] for number in range(20)]
        generation = await admitting.admit(policy_set(many))
        (snapshot,) = await admitting.snapshots_for([workload()])

    assert refused(generation) == []
    assert "BlackHoleCluster" in names(snapshot, type_url.CLUSTER)


async def test_a_proxy_is_sent_nothing_that_was_not_validated() -> None:
    """A forward proxy is the first to be sent names with a port, which nobody else may need."""
    domain_with_port = b"\x12\x0areviews:80"
    forward_proxy = Workload("web", "default", interception=Interception.NONE, http_proxy_port=15080)
    async with admission(lambda bootstrap: domain_with_port in bootstrap) as admitting:
        before = await admitting.admit(policy_set([REVIEWS, documents(entry("other"))[0]]))
        (snapshot,) = await admitting.snapshots_for([forward_proxy])
        after = admitting.generation

    assert refused(before) == []
    assert after is not None
    assert refused(after) == [("ServiceEntry", "reviews")]
    assert "outbound|80||other" in names(snapshot, type_url.CLUSTER)
    assert CLUSTER not in names(snapshot, type_url.CLUSTER)


async def test_a_defect_of_ours_keeps_nobody_out() -> None:
    """Whoever was suspected when it struck was not found to be at fault."""

    def refuses(bootstrap: bytes) -> bool:
        if admitting.held:
            raise RuntimeError("a defect")
        return b"/bad" in bootstrap

    async with admission(refuses) as admitting:
        with pytest.raises(RuntimeError, match="a defect"):
            await admitting.admit(policy_set([REVIEWS, route("/bad")]))

        assert admitting.held == ()
        assert admitting.generation is None


async def test_what_was_validated_is_served_without_asking() -> None:
    asked = []

    def refuses(bootstrap: bytes) -> bool:
        asked.append(bootstrap)
        return False

    async with admission(refuses) as admitting:
        await admitting.admit(policy_set([REVIEWS]))
        count = len(asked)
        await admitting.snapshots_for([workload("a"), workload("b")])

    assert len(asked) == count


async def test_nothing_is_served_before_the_first_admission() -> None:
    async with admission() as admitting:
        assert await admitting.snapshots_for([workload()]) == [None]


async def test_a_change_that_comes_while_another_is_validated_waits_for_it() -> None:
    async with admission(lambda _: False) as admitting:
        states = [policy_set([REVIEWS, rule()]), policy_set([REVIEWS])]
        generations = await asyncio.gather(*(admitting.admit(state) for state in states))

        assert [generation.number for generation in generations] == [1, 2]
        assert kinds(admitting.generation) == {"ServiceEntry"}


async def refusal_of(
    admitting: Admission,
    url: str = type_url.CLUSTER,
    message: str = "no good",
    *,
    node_id: str = "node-1",
    connected: tuple[str, ...] = ("node-1",),
) -> None:
    """A connected proxy refuses the cluster of reviews."""
    (snapshot,) = await admitting.snapshots_for([workload()])
    assert snapshot is not None
    origins = snapshot.of_type(type_url.CLUSTER)[CLUSTER].origins
    admitting.refused(node_id, url, (CLUSTER,), origins, message, connected=set(connected))


async def test_what_a_proxy_refuses_falls_back_to_its_last_good_form() -> None:
    good, bad = rule(), rule(", trafficPolicy: {connectionPool: {http: {maxRetries: 7}}}")
    async with admission() as admitting:
        await admitting.admit(policy_set([REVIEWS, good]))
        await admitting.admit(policy_set([REVIEWS, bad]))
        await refusal_of(admitting)
        stale = admitting.is_stale
        generation = await admitting.admit(policy_set([REVIEWS, bad]))

    assert (stale, admitting.is_stale) == (True, False)
    assert set(generation.policies.documents) == {REVIEWS, good}
    (problem,) = [each for each in generation.problems if each.code == "refused-by-proxy"]
    assert problem.message.startswith(f"node-1 refuses Cluster {CLUSTER}: no good; ")


async def test_a_port_in_use_changes_nothing() -> None:
    async with admission() as admitting:
        await admitting.admit(policy_set([REVIEWS, rule()]))
        await refusal_of(admitting, type_url.LISTENER, "cannot bind '127.0.0.1:80': Address already in use")

        assert not admitting.is_stale
        assert admitting.held == ()


async def test_a_file_that_a_proxy_cannot_read_takes_no_policy_away() -> None:
    """Without the rule that says TLS, calls would be plain."""
    async with admission() as admitting:
        await admitting.admit(policy_set([REVIEWS, rule()]))
        await refusal_of(admitting, type_url.SECRET, "unable to read file: /a.crt")

        assert not admitting.is_stale
        assert admitting.held == ()


async def changed_together(admitting: Admission) -> PolicySet:
    """Two documents come into force with one change, after a service of which every proxy has taken all."""
    await admitting.admit(policy_set([REVIEWS]))
    state = policy_set([REVIEWS, rule(), route()])
    await admitting.admit(state)
    return state


def unnamed(
    admitting: Admission,
    node_id: str = "node-1",
    connected: tuple[str, ...] = ("node-1",),
    taken_ago: float | None = 1.0,
) -> None:
    """A connected proxy refuses a response with everything, and says nothing of what in it."""
    assert admitting.generation is not None
    origins = [document.origin for document in admitting.generation.policies.documents]
    admitting.refused(node_id, type_url.CLUSTER, (), origins, "bad", connected=set(connected), taken_ago=taken_ago)


def held(admitting: Admission) -> set[str]:
    """Kinds of what is in quarantine."""
    return {each.document.kind for each in admitting.held}


async def test_what_a_proxy_refuses_without_a_name_is_rolled_back_as_one_change() -> None:
    async with admission() as admitting:
        state = await changed_together(admitting)
        unnamed(admitting)
        generation = await admitting.admit(state)

    assert held(admitting) == {"DestinationRule", "VirtualService"}
    assert kinds(generation) == {"ServiceEntry"}


async def test_a_proxy_that_goes_on_refusing_without_a_name_costs_nothing_more() -> None:
    """Its last answer was no ACK: what it refuses now is nothing new to it."""
    async with admission() as admitting:
        await changed_together(admitting)
        unnamed(admitting, taken_ago=None)

        assert (held(admitting), admitting.is_stale) == (set(), False)


async def test_what_one_of_many_proxies_refuses_without_a_name_is_not_blamed_on_what_envoy_takes() -> None:
    async with admission(lambda _: False) as admitting:
        await changed_together(admitting)
        unnamed(admitting, connected=THREE)
        unnamed(admitting, connected=THREE)

        assert (held(admitting), admitting.is_stale) == (set(), False)


async def test_what_envoy_could_not_say_of_is_blamed_on_the_word_of_two_proxies() -> None:
    """The Envoy here crashes on it, so that nothing vouches for it."""

    async def ask(_: bytes) -> Verdict:
        return Verdict(Outcome.FAILED, "crashed")

    with ThreadPoolExecutor(1) as worker:
        admitting = Admission(Pipeline(), worker, Validator(ask))
        await admitting.admit(policy_set([REVIEWS]))
        unnamed(admitting, connected=THREE)
        of_one = held(admitting)
        unnamed(admitting, "node-2", connected=THREE)

    assert (of_one, held(admitting)) == (set(), {"ServiceEntry"})


async def test_one_proxys_word_takes_no_policy_away_that_envoy_takes() -> None:
    """A proxy that lies, or is another Envoy, and names what it refuses; the others have it."""
    new = rule(", trafficPolicy: {connectionPool: {http: {maxRetries: 7}}}")
    async with admission(lambda _: False) as admitting:
        await admitting.admit(policy_set([REVIEWS, rule()]))
        await admitting.admit(policy_set([REVIEWS, new]))
        await refusal_of(admitting, connected=THREE)
        await refusal_of(admitting, connected=THREE)
        of_one = held(admitting)
        await refusal_of(admitting, node_id="node-2", connected=THREE)

    assert (of_one, held(admitting)) == (set(), {"DestinationRule"})


async def test_the_only_proxys_word_takes_no_policy_away_that_envoy_takes() -> None:
    """It would be kept from those that come after it."""
    async with admission(lambda _: False) as admitting:
        await admitting.admit(policy_set([REVIEWS]))
        await admitting.admit(policy_set([REVIEWS, rule()]))
        await refusal_of(admitting)

        assert (held(admitting), admitting.is_stale) == (set(), False)


@pytest.mark.parametrize("state", [PolicySet(), policy_set([REVIEWS])], ids=["empty", "one service"])
async def test_admitting_the_same_twice_changes_nothing(state: PolicySet) -> None:
    async with admission(lambda _: False) as admitting:
        first = await admitting.admit(state)
        second = await admitting.admit(state)

    assert first.policies is second.policies
