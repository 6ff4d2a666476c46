"""Counting what came of the demo's traffic."""

from __future__ import annotations

from tests.envoy.running import Backend, until
from xds_server.demo.load import Load, Sample, summary


def test_summary_counts_by_worker_and_by_status() -> None:
    """A failure is any status but 2xx, no answer included."""
    samples = [Sample(1.0, 0.1 * n, status, worker) for n, (status, worker) in enumerate(
        [(200, "a"), (200, "b"), (503, ""), (0, "")])]  # fmt: skip

    found = summary(samples)

    assert (found.total, found.failed) == (4, 2)
    assert (found.by_worker["a"], found.by_status[503]) == (1, 1)
    assert (found.p50, found.slowest) == (0.2, samples[-1].seconds)


def test_summary_of_nothing_is_nothing() -> None:
    """The table is drawn before the first request has ended."""
    assert summary([]).total == 0


def test_load_counts_only_requests_that_began_after_the_question() -> None:
    """A request that was under way when a file was saved says nothing of the file."""
    backend = Backend("one")
    load = Load(backend.port, clients=1, pause=0)
    load.start()
    samples = until(lambda: load.since(0)[5:], what="some requests have ended")
    load.stop()
    backend.close()

    assert all(sample.status == 200 for sample in samples)
    assert not load.since(max(sample.at for sample in load.since(0)) + 1)
