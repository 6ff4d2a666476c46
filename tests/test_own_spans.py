"""This server's own spans: which change a step belongs to, and how changes end that meet."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.server.test_export import collecting, soon
from xds_server.compiler.premises import Premises
from xds_server.own_spans import OwnSpans
from xds_server.pipeline import Generation, Pipeline
from xds_server.policy.document import PolicySet
from xds_server.settings import Address, Endpoint
from xds_server.telemetry.change import Answer
from xds_server.telemetry.span import Trace
from xds_server.telemetry.traces import Traces


@asynccontextmanager
async def telling(*answers: Answer) -> AsyncIterator[tuple[OwnSpans, Traces]]:
    """Own spans that a collector takes, and what it has taken."""
    async with collecting() as (port, taken):
        own = OwnSpans(Endpoint(Address("127.0.0.1", port), is_tls=False), lambda _: answers)
        running = asyncio.create_task(own.run())
        try:
            yield own, taken
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


@pytest.fixture
def generation() -> Generation:
    return Pipeline(Premises()).compile(PolicySet())


async def told(taken: Traces, count: int = 1) -> list[Trace]:
    """So many traces, the first first."""
    await soon(lambda: len(taken.kept().latest(count)) == count)
    return taken.kept().latest(count)[::-1]


def names(trace: Trace) -> list[str]:
    return [span.name for span in trace.spans]


def tags(trace: Trace) -> dict[str, str | int]:
    return dict(next(span for span in trace.spans if not span.parent_id).tags)


async def test_a_change_goes_from_its_notice_to_the_answers(generation: Generation) -> None:
    now = time.time()
    async with telling(Answer("web", "CDS", "taken", now, now + 1)) as (own, taken):
        own.begin(now - 5, frozenset({Path("b.yaml"), Path("a.yaml")}))
        with own.step("read"):
            pass
        own.published(generation)
        own.settled()
        (trace,) = await told(taken)

    documented = (Path(__file__).parents[1] / "envoy" / "metrics.md").read_text()
    words = {*names(trace), *(name for span in trace.spans for name, _ in span.tags)}
    assert [word for word in words if f"`{word}`" not in documented] == []
    assert sorted(names(trace)) == ["ack", "debounce", "policy change", "push", "read"]
    assert trace.start == int((now - 5) * 1e9)
    assert tags(trace) == {
        "xds.outcome": "settled", "xds.files": "a.yaml, b.yaml", "xds.generation": "1", "xds.documents": "0",
        "xds.errors": "0", "xds.answers": "1",
    }  # fmt: skip


async def test_a_step_of_another_task_is_of_the_change_whose_answers_are_awaited(generation: Generation) -> None:
    """Proxies are given what is in force while the next change is compiled."""

    async def for_proxies(own: OwnSpans) -> None:
        with own.step("translate for proxies"):
            pass

    async with telling() as (own, taken):
        hub = asyncio.Event()

        async def deal() -> None:
            await hub.wait()
            await for_proxies(own)

        dealing = asyncio.create_task(deal())
        own.begin(time.time(), None)
        own.published(generation)
        own.begin(time.time(), None)
        with own.step("compile"):
            hub.set()
            await dealing
        own.published(generation)
        own.stopped()
        first, second = await told(taken, 2)

    assert (names(first)[-1], tags(first)["xds.outcome"]) == ("translate for proxies", "superseded")
    assert (names(second)[-1], tags(second)["xds.outcome"]) == ("compile", "stopped")


async def test_a_change_of_nothing_is_not_told_of(generation: Generation) -> None:
    """A file that was saved as it was; nor are steps when no change is under way."""
    async with telling() as (own, taken):
        own.begin(time.time(), None)
        own.nothing_changed()
        with own.step("translate"):
            pass
        own.published(generation)
        own.settled()
        own.begin(time.time(), None)
        own.failed()
        (trace,) = await told(taken)

    assert (names(trace), tags(trace)["xds.outcome"]) == (["policy change", "debounce"], "failed")


async def test_a_step_that_breaks_is_a_failure(generation: Generation) -> None:
    async with telling() as (own, taken):
        own.begin(time.time(), None)
        with pytest.raises(ValueError, match="broken"), own.step("read"):
            raise ValueError("broken")
        own.failed()
        (trace,) = await told(taken)

    def failed(name: str) -> bool:
        (found,) = [span for span in trace.spans if span.name == name]
        return found.failed

    assert (failed("read"), failed("debounce"), failed("policy change")) == (True, False, True)


async def test_a_file_name_that_is_no_text_stops_nothing() -> None:
    """Such as one in Latin-1."""
    async with telling() as (own, taken):
        own.begin(time.time(), frozenset({Path("caf\udce9.yaml")}))
        own.failed()
        (trace,) = await told(taken)

    assert tags(trace)["xds.files"] == "caf\N{REPLACEMENT CHARACTER}.yaml"


async def test_without_a_collector_nothing_is_kept(generation: Generation) -> None:
    own = OwnSpans(None, lambda _: pytest.fail("nobody is asked for answers"))
    own.begin(time.time(), None)
    with own.step("read"):
        pass
    own.published(generation)
    own.settled()

    assert own.exporter is None
