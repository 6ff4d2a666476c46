"""The demo's worker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.demo.apps.started import ask, started


@pytest.fixture(scope="module")
def worker() -> Iterator[str]:
    with started("worker", NAME="worker-1", VERSION="v2") as url:
        yield url


def test_job_is_answered_by_name_and_version(worker: str) -> None:
    status, answer = ask(worker + "/process-job", b"{}")

    assert (status, json.loads(answer)) == (200, {"worker": "worker-1", "version": "v2", "path": "/process-job"})


def test_caller_is_whom_the_mesh_has_proved(worker: str) -> None:
    proved = "By=spiffe://cluster.local/ns/a/sa/worker;Hash=1;URI=spiffe://cluster.local/ns/a/sa/web"

    _, answer = ask(worker + "/process-job", b"{}", {"x-forwarded-client-cert": proved})

    assert json.loads(answer)["caller"] == "spiffe://cluster.local/ns/a/sa/web"


def test_caller_is_the_last_of_those_that_were_proved(worker: str) -> None:
    """The peer that handed the request over stands last; what is said of it behind its URI is not its name."""
    proved = "By=a;URI=spiffe://b/first,By=a;URI=spiffe://b/last;DNS=last.example"

    _, answer = ask(worker + "/process-job", b"{}", {"x-forwarded-client-cert": proved})

    assert json.loads(answer)["caller"] == "spiffe://b/last"


def test_a_worker_that_fails_is_healthy_all_the_same(worker: str) -> None:
    """Or a health check would take it out before Envoy has ejected it."""
    ask(worker + "/behave", b'{"status": 500}')
    status, answer = ask(worker + "/")
    ask(worker + "/behave", b"{}")

    assert (status, json.loads(answer)) == (200, {"worker": "worker-1", "version": "v2"})


def test_slow_is_as_slow_as_was_asked_for_until_it_is_mended(worker: str) -> None:
    _, slow = ask(worker + "/behave", b'{"delay": 0.5}')
    began = time.monotonic()
    ask(worker + "/process-job", b"{}")
    took = time.monotonic() - began
    _, mended = ask(worker + "/behave", b"{}")

    assert took >= 0.5
    assert [json.loads(answer)["delay"] for answer in (slow, mended)] == [0.5, 0]


def test_behaviour_changes_and_is_mended(worker: str) -> None:
    ask(worker + "/behave", b'{"status": 500}')
    broken, _ = ask(worker + "/process-job", b"{}")
    ask(worker + "/behave", b"{}")
    mended, _ = ask(worker + "/process-job", b"{}")

    assert (broken, mended) == (500, 200)
