"""Who is given which snapshot, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from tests.patience import PATIENCE
from xds_server.errors import InconsistentSnapshot, ProtocolViolation
from xds_server.server.hub import Hub, Peer, Proxy
from xds_server.xds.messages import Node
from xds_server.xds.snapshot import Snapshot


class Recorder:
    """A stream that only remembers what the hub did to it."""

    def __init__(self, name: str) -> None:
        self.proxy = Proxy(Node(name), Peer("unix:"))
        self.offered: list[Snapshot] = []
        self.refused: list[ProtocolViolation] = []
        self.told = asyncio.Event()

    def offer(self, snapshot: Snapshot) -> None:
        """See `hub.Stream`."""
        self.offered.append(snapshot)
        self.told.set()

    def refuse(self, reason: ProtocolViolation) -> None:
        """See `hub.Stream`."""
        self.refused.append(reason)
        self.told.set()


class Source:
    """A generation whose snapshots the test sets by node id."""

    def __init__(self, default: Snapshot | None = None) -> None:
        self.default = default
        self.by_node: dict[str, Snapshot | Exception | None] = {}
        self.calls: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, proxies: Sequence[Proxy]) -> Sequence[Snapshot | None]:
        """See `hub.SnapshotsFor`."""
        self.calls.append([proxy.node.id for proxy in proxies])
        answers = [self.by_node.get(proxy.node.id, self.default) for proxy in proxies]
        await self.open.wait()
        found: list[Snapshot | None] = []
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            found.append(answer)
        return found


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    task = asyncio.create_task(hub.run())
    try:
        yield
    finally:
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Let the hub work until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # the condition is a plain value of the hub's
            await asyncio.sleep(0)


async def settled(*told: Awaitable[object]) -> None:
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*told)


def test_hub_is_not_ready_before_the_first_generation() -> None:
    hub = Hub(Source())
    assert not hub.is_ready

    hub.publish(1)

    assert hub.is_ready


async def test_stream_that_joins_is_offered_its_snapshot() -> None:
    mine = Snapshot()
    source = Source(Snapshot())
    source.by_node["a"] = mine
    hub, stream = Hub(source), Recorder("a")
    hub.publish(1)

    async with running(hub):
        hub.join(stream)
        await settled(stream.told.wait())

    assert stream.offered == [mine]


async def test_every_stream_is_offered_the_next_generation() -> None:
    source = Source(Snapshot())
    hub, streams = Hub(source), [Recorder(f"n{n}") for n in range(3)]
    hub.publish(1)
    async with running(hub):
        for stream in streams:
            hub.join(stream)
        await until(lambda: all(len(s.offered) == 1 for s in streams))
        source.default = Snapshot()

        hub.publish(2)
        await until(lambda: all(len(s.offered) == 2 for s in streams))

    assert all(stream.offered[-1] is source.default for stream in streams)


async def test_stream_whose_snapshot_did_not_change_is_left_alone() -> None:
    source = Source(Snapshot())
    hub, same, other = Hub(source), Recorder("same"), Recorder("other")
    hub.publish(1)
    async with running(hub):
        hub.join(same)
        hub.join(other)
        await settled(same.told.wait(), other.told.wait())
        source.by_node["other"] = Snapshot()

        hub.publish(2)
        await until(lambda: len(other.offered) == 2)

    assert len(same.offered) == 1


async def test_proxies_are_resolved_many_at_a_time() -> None:
    source = Source(Snapshot())
    hub, streams = Hub(source), [Recorder(f"n{n}") for n in range(100)]
    hub.publish(1)
    for stream in streams:
        hub.join(stream)

    async with running(hub):
        await settled(*(stream.told.wait() for stream in streams))

    assert [len(call) for call in source.calls] == [64, 36]


async def test_generation_published_while_another_is_resolved_wins() -> None:
    source = Source(Snapshot())
    hub, stream = Hub(source), Recorder("a")
    source.open.clear()
    hub.publish(1)
    async with running(hub):
        hub.join(stream)
        await until(lambda: len(source.calls) == 1)
        latest = source.default = Snapshot()

        hub.publish(2)
        source.open.set()
        await until(lambda: len(stream.offered) == 2)

    assert stream.offered[-1] is latest


async def test_hub_is_idle_once_every_stream_has_its_snapshot() -> None:
    source = Source(Snapshot())
    hub, stream = Hub(source), Recorder("a")
    source.open.clear()
    hub.publish(1)
    hub.join(stream)
    async with running(hub):
        await until(lambda: len(source.calls) == 1)
        before = hub.is_idle
        source.open.set()
        await settled(stream.told.wait())
        await until(lambda: hub.is_idle)

    assert not before


async def test_one_view_that_fails_costs_only_its_own_proxies() -> None:
    source = Source(Snapshot())
    hub, good, bad = Hub(source), Recorder("good"), Recorder("bad")
    source.by_node["bad"] = InconsistentSnapshot("x needs y")
    hub.publish(1)
    hub.join(good)
    hub.join(bad)

    with capture_logs() as logs:
        async with running(hub):
            await settled(good.told.wait(), bad.told.wait())

    assert good.offered == [source.default]
    assert [refusal.status for refusal in bad.refused] == ["UNAVAILABLE"]
    assert [(entry["log_level"], entry["node_id"]) for entry in logs] == [("error", "bad")]


async def test_stream_keeps_its_last_good_snapshot_when_the_next_one_fails() -> None:
    source = Source(Snapshot())
    hub, stream, witness = Hub(source), Recorder("a"), Recorder("b")
    hub.publish(1)
    with capture_logs():
        async with running(hub):
            hub.join(stream)
            hub.join(witness)
            await settled(stream.told.wait(), witness.told.wait())
            source.by_node = {"a": InconsistentSnapshot("x needs y"), "b": Snapshot()}

            hub.publish(2)
            await until(lambda: len(witness.offered) == 2)

    assert len(stream.offered) == 1
    assert not stream.refused


async def test_node_that_cannot_be_served_yet_is_told_to_come_back() -> None:
    hub, stream = Hub(Source(None)), Recorder("a")
    hub.publish(1)
    async with running(hub):
        hub.join(stream)
        await settled(stream.told.wait())

    assert [refusal.status for refusal in stream.refused] == ["UNAVAILABLE"]


async def test_stream_that_left_while_it_was_resolved_is_not_touched() -> None:
    source = Source(Snapshot())
    hub, gone, stays = Hub(source), Recorder("gone"), Recorder("stays")
    source.open.clear()
    hub.publish(1)
    async with running(hub):
        hub.join(gone)
        hub.join(stays)
        await until(lambda: len(source.calls) == 1)

        hub.leave(gone)
        source.open.set()
        await settled(stays.told.wait())

    assert not gone.offered
    assert hub.proxies() == (stays.proxy,)


def test_callbacks_hear_of_every_proxy_that_comes_and_goes() -> None:
    heard: list[tuple[str, str]] = []
    hub = Hub(
        Source(),
        connected=lambda proxy: heard.append(("connected", proxy.node.id)),
        disconnected=lambda proxy: heard.append(("disconnected", proxy.node.id)),
    )
    stream = Recorder("a")

    hub.join(stream)
    hub.leave(stream)

    assert heard == [("connected", "a"), ("disconnected", "a")]


def test_refuse_all_ends_every_stream() -> None:
    hub, streams = Hub(Source()), [Recorder("a"), Recorder("b")]
    for stream in streams:
        hub.join(stream)
    reason = ProtocolViolation("UNAVAILABLE", "going")

    hub.refuse_all(reason)

    assert [stream.refused for stream in streams] == [[reason], [reason]]


class Sleep:
    """Waits until the test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.over = asyncio.Semaphore(0)

    async def __call__(self, seconds: float) -> None:
        """See `Hub`."""
        self.asked.append(seconds)
        await self.over.acquire()


async def test_drain_ends_streams_one_after_the_other_and_serves_the_rest_meanwhile() -> None:
    source, sleep = Source(Snapshot()), Sleep()
    hub = Hub(source, sleep=sleep)
    first, last = Recorder("a"), Recorder("b")
    async with running(hub):
        hub.publish(1)
        for stream in (first, last):
            hub.join(stream)
            await settled(stream.told.wait())
        draining = asyncio.create_task(hub.drain(5, ProtocolViolation("UNAVAILABLE", "going")))
        await settled(until(lambda: bool(first.refused)))
        source.default = newest = Snapshot()
        last.told.clear()
        hub.publish(2)
        await settled(last.told.wait())
        assert (last.offered[-1], last.refused) == (newest, [])

        sleep.over.release()
        await settled(draining)

    assert len(last.refused) == 1


@pytest.mark.parametrize(("count", "seconds", "pauses"), [(0, 5, 0), (3, 5, 2), (200, 5, 49), (200, 0, 0)])
async def test_drain_takes_no_longer_than_it_may_and_less_for_few(count: int, seconds: float, pauses: int) -> None:
    sleep = Sleep()
    hub, streams = Hub(Source(), sleep=sleep), [Recorder(str(number)) for number in range(count)]
    for stream in streams:
        hub.join(stream)
    for _ in range(pauses):
        sleep.over.release()

    await settled(hub.drain(seconds, ProtocolViolation("UNAVAILABLE", "going")))

    assert sleep.asked == [0.1] * pauses
    assert [len(stream.refused) for stream in streams] == [1] * count


async def test_drain_does_not_end_a_stream_that_has_left() -> None:
    hub, stays, leaves = Hub(Source(), sleep=(sleep := Sleep())), Recorder("a"), Recorder("b")
    for stream in (stays, leaves):
        hub.join(stream)
    draining = asyncio.create_task(hub.drain(5, ProtocolViolation("UNAVAILABLE", "going")))
    await settled(until(lambda: bool(sleep.asked)))
    hub.leave(leaves)
    sleep.over.release()
    await settled(draining)

    assert (len(stays.refused), leaves.refused) == (1, [])


@pytest.mark.parametrize("joined", [True, False])
async def test_run_ends_when_cancelled(joined: bool) -> None:
    hub = Hub(Source(Snapshot()))
    task = asyncio.create_task(hub.run())
    if joined:
        hub.join(Recorder("a"))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_refresh_asks_again_for_those_concerned_only() -> None:
    source = Source(first := Snapshot())
    hub, concerned, other = Hub(source), Recorder("a"), Recorder("b")
    async with running(hub):
        for stream in (concerned, other):
            hub.join(stream)
        hub.publish(1)
        await settled(until(lambda: bool(concerned.offered and other.offered)))
        source.default = second = Snapshot()

        hub.refresh(lambda proxy: proxy.node.id == "a")

        await settled(until(lambda: len(concerned.offered) == 2))
        await settled(until(lambda: hub.is_idle))
    assert (concerned.offered, other.offered) == ([first, second], [first])


async def test_refuse_ends_the_streams_of_those_concerned_only() -> None:
    hub, concerned, other = Hub(Source()), Recorder("a"), Recorder("b")
    for stream in (concerned, other):
        hub.join(stream)

    hub.refuse(lambda proxy: proxy.node.id == "a", reason := ProtocolViolation("UNAUTHENTICATED", "revoked"))

    assert (concerned.refused, other.refused) == ([reason], [])


def test_guest_that_left_is_told_nothing() -> None:
    hub, left, stays = Hub(Source()), Recorder("left"), Recorder("stays")
    for guest in (left, stays):
        hub.host(guest)
    hub.dismiss(left)

    hub.refuse_all(reason := ProtocolViolation("UNAVAILABLE", "going away"))

    assert (left.refused, stays.refused) == ([], [reason])


@pytest.mark.parametrize(
    ("address", "ip"),
    [("ipv4:10.0.0.1:51234", "10.0.0.1"), ("ipv6:%5B::1%5D:51234", "::1"), ("unix:/run/xds:1", ""), ("unix:", "")],
)
def test_ip_of_a_peer_is_told_from_its_address(address: str, ip: str) -> None:
    """As gRPC writes it."""
    assert Peer(address).ip == ip
