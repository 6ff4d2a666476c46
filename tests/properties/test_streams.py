"""Both stream machines against a model of Envoy, for any order of snapshots, deliveries, refusals and reconnects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.model_envoy import DeltaEnvoy, ModelEnvoy, Request, Response, SotwEnvoy
from xds_server.xds.delta import DeltaStream
from xds_server.xds.messages import Acked, DeltaRequest, DeltaResponse, Nacked, SotwRequest
from xds_server.xds.resource import Resource
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.sotw import SotwStream
from xds_server.xds.stream import NO_TOMBSTONES, NOTHING_HELD, Held, Tombstones
from xds_server.xds.type_url import CLUSTER, ENDPOINT, LISTENER, ROUTE

CLUSTERS = ("a", "b", "c", "d")
Step = Snapshot | str | int
LISTENERS = {"l": "r", "m": "s"}
"""Listener to the route configuration that it names."""


def resource(url: str, name: str, version: str, refs: tuple[tuple[str, str], ...] = ()) -> Resource:
    """One whose bytes are its version."""
    return Resource(url, name, version, version.encode(), refs)


@st.composite
def snapshots(draw: st.DrawFn, versions: tuple[str, ...] = ("1", "2")) -> Snapshot:
    """Consistent ones: every cluster has endpoints, every listener routes, every route leads to clusters that exist."""
    clusters = draw(st.sets(st.sampled_from(CLUSTERS)))
    listeners = draw(st.sets(st.sampled_from(sorted(LISTENERS))))
    found = []
    for name in sorted(clusters):
        found.append(resource(CLUSTER, name, draw(st.sampled_from(versions)), ((ENDPOINT, name),)))
        found.append(resource(ENDPOINT, name, draw(st.sampled_from(("1", "2")))))
    for name in sorted(listeners):
        targets = sorted(draw(st.sets(st.sampled_from(sorted(clusters)))) if clusters else ())
        version = draw(st.sampled_from(versions)) + "-" + "".join(targets)
        found.append(resource(LISTENER, name, draw(st.sampled_from(versions)), ((ROUTE, LISTENERS[name]),)))
        found.append(resource(ROUTE, LISTENERS[name], version, tuple((CLUSTER, target) for target in targets)))
    return Snapshot.of(found)


DELIVER = st.sampled_from(["to envoy", "to server"]) | st.integers(2, 20)
"""One message in one direction, or so many rounds in both."""
CALM = st.lists(snapshots() | DELIVER, max_size=60)
"""Whatever happens to a healthy Envoy on one stream."""
STORM = st.lists(snapshots(("1", "2", "bad1", "bad2")) | DELIVER | st.just("reconnect"), max_size=60)
"""Refused resources and broken streams besides."""
BREAKS = st.lists(snapshots() | DELIVER | st.just("reconnect"), max_size=60)
"""Broken streams, and an Envoy that refuses nothing."""


@dataclass
class Wire:
    """A stream machine, a model Envoy, and what is on its way between them."""

    machine: Callable[[Tombstones, Held], SotwStream | DeltaStream]
    envoy: ModelEnvoy
    snapshot: Snapshot | None = None
    inbox: deque[Response] = field(default_factory=deque)
    requests: int = 0
    responses: int = 0
    watch: Callable[[ModelEnvoy], None] = lambda envoy: None

    def __post_init__(self) -> None:
        self.stream = self.machine(NO_TOMBSTONES, NOTHING_HELD)

    def do(self, step: Step) -> None:
        """One step of any kind; a delivery from an empty queue is nothing."""
        if isinstance(step, int):
            for _ in range(step):
                self.do("to envoy")
                self.do("to server")
        elif isinstance(step, Snapshot):
            self.snapshot = step
            self._answer(self.stream.offer(step))
        elif step == "to envoy" and self.inbox:
            self.envoy.take(self.inbox.popleft())
            self.watch(self.envoy)
        elif step == "to server" and self.envoy.outbox:
            self.requests += 1
            self._answer(_received(self.stream, self.envoy.outbox.popleft()))
        elif step == "reconnect":
            self._reconnect()

    def calm_down(self) -> None:
        """Deliver everything; fails if the two never stop talking."""
        for _ in range(200):
            if not self.inbox and not self.envoy.outbox:
                return
            self.do(1)
        pytest.fail("never quiet")

    def _reconnect(self) -> None:
        self.inbox.clear()
        self.requests = self.responses = 0
        self.stream = self.machine(self.stream.tombstones, self.stream.held)
        if self.snapshot is not None:
            self.stream.offer(self.snapshot)
        self.envoy.connect()

    def _answer(self, said: Sequence[Response]) -> None:
        for response in said:
            names = [found.name for found in response.resources]
            names += response.removed if isinstance(response, DeltaResponse) else ()
            assert len(names) == len(set(names))
        self.responses += len(said)
        self.inbox.extend(said)


def _received(stream: SotwStream | DeltaStream, request: Request) -> list[Response]:
    if isinstance(stream, SotwStream):
        assert isinstance(request, SotwRequest)
        return [said for said in stream.receive(request) if not isinstance(said, Acked | Nacked)]
    assert isinstance(request, DeltaRequest)
    return [said for said in stream.receive(request) if not isinstance(said, Acked | Nacked)]


def sotw(*, strict: bool = False) -> Wire:
    """A SotW stream, not yet used."""
    return Wire(lambda tombstones, held: SotwStream(tombstones=tombstones, held=held), SotwEnvoy(strict=strict))


def delta(*, strict: bool = False) -> Wire:
    """A delta stream, not yet used."""
    return Wire(lambda tombstones, held: DeltaStream(tombstones=tombstones, held=held), DeltaEnvoy(strict=strict))


def assert_holds(wire: Wire, snapshot: Snapshot) -> None:
    """The Envoy holds exactly the snapshot, and the server knows it, having said no more than it was asked."""
    wanted = {url: {**snapshot.of_type(url)} for url in (CLUSTER, ENDPOINT, LISTENER, ROUTE)}
    assert wire.envoy.held == wanted
    assert not wire.envoy.warming
    assert {url: {**status.resources} for url, status in wire.stream.status().items() if status.names} == {
        url: resources for url, resources in wanted.items() if url in {ENDPOINT, ROUTE} and resources
    }
    assert wire.responses < wire.requests


def assert_routes_lead_somewhere(envoy: ModelEnvoy) -> None:
    """Every route in force names clusters that are warm."""
    needed = {name for route in envoy.held[ROUTE].values() for _, name in route.refs}
    assert needed <= envoy.held[CLUSTER].keys()


@pytest.mark.parametrize("variant", [sotw, delta])
@given(steps=STORM, last=snapshots(), strict=st.booleans())
@settings(max_examples=150)
def test_once_quiet_envoy_holds_exactly_the_newest_snapshot(
    variant: Callable[..., Wire], steps: list[Step], last: Snapshot, strict: bool
) -> None:
    """So SotW and delta agree, whatever was refused, overtaken or lost on the way."""
    wire = variant(strict=strict)
    for step in steps:
        wire.do(step)

    wire.do(last)
    wire.calm_down()

    assert_holds(wire, last)


@pytest.mark.parametrize("variant", [sotw, delta])
@given(steps=CALM)
@settings(max_examples=150)
def test_no_route_in_force_names_a_cluster_that_is_not_warm(variant: Callable[..., Wire], steps: list[Step]) -> None:
    """Make before break: at no moment does a request meet a cluster that has not come yet or has left already."""
    wire = variant()
    wire.watch = assert_routes_lead_somewhere

    for step in [*steps, 40]:
        wire.do(step)


@pytest.mark.parametrize("variant", [sotw, delta])
@given(steps=BREAKS)
@settings(max_examples=300)
def test_no_route_in_force_loses_its_cluster_over_a_reconnect(variant: Callable[..., Wire], steps: list[Step]) -> None:
    """However much has changed while it was away."""
    wire = variant()
    wire.watch = assert_routes_lead_somewhere

    for step in [*steps, 40]:
        wire.do(step)


@given(steps=BREAKS)
@settings(max_examples=300)
def test_restarted_server_takes_no_cluster_from_a_route_in_force(steps: list[Step]) -> None:
    """Delta tells a server that knows nothing all that it must know."""
    wire = delta()
    wire.watch = assert_routes_lead_somewhere

    for step in [*steps, 40]:
        if step == "reconnect":
            wire.calm_down()
            wire.stream = wire.machine(NO_TOMBSTONES, NOTHING_HELD)
        wire.do(step)


@pytest.mark.parametrize("variant", [sotw, delta])
@given(refused=snapshots(("bad1", "bad2")), steps=st.lists(DELIVER, max_size=30))
@settings(max_examples=50)
def test_refused_content_is_said_once(variant: Callable[..., Wire], refused: Snapshot, steps: list[Step]) -> None:
    """However long the snapshot stays bad, and however often it is offered again, the two fall silent."""
    wire = variant()
    wire.do(refused)
    for step in steps:
        wire.do(step)
    wire.calm_down()
    said = wire.responses

    wire.do(Snapshot.of(found for url in refused.by_type for found in refused.of_type(url).values()))
    wire.calm_down()

    assert wire.responses == said
