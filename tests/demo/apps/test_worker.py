"""The demo's worker."""

from __future__ import annotations

import json
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


def test_behaviour_changes_and_is_mended(worker: str) -> None:
    ask(worker + "/behave", b'{"status": 500}')
    broken, _ = ask(worker + "/process-job", b"{}")
    ask(worker + "/behave", b"{}")
    mended, _ = ask(worker + "/process-job", b"{}")

    assert (broken, mended) == (500, 200)
