"""The demo's webhook-handler, in front of a real upstream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.demo.apps.started import ask, started
from tests.envoy.running import Backend


@pytest.fixture
def upstream() -> Iterator[Backend]:
    backend = Backend("done")
    yield backend
    backend.close()


@pytest.fixture
def relay(upstream: Backend) -> Iterator[str]:
    with started("relay", UPSTREAM_URL=f"http://127.0.0.1:{upstream.port}/process-job") as url:
        yield url


def test_upstreams_answer_is_the_answer(relay: str, upstream: Backend) -> None:
    done = ask(relay + "/webhook", b"{}")
    upstream.behaviour.status = 503
    failed = ask(relay + "/webhook", b"{}")

    assert (done, failed) == ((200, "done"), (503, "done"))


def test_only_headers_that_tie_calls_together_are_handed_on(relay: str, upstream: Backend) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    ask(relay + "/webhook", b"{}", {"traceparent": traceparent, "x-request-id": "one", "authorization": "mine"})

    method, path, headers = upstream.behaviour.requests[-1]
    assert (method, path) == ("POST", "/process-job")
    assert (headers["traceparent"], headers["x-request-id"]) == (traceparent, "one")
    assert "authorization" not in headers


def test_upstream_that_is_not_there_is_a_bad_gateway(relay: str, upstream: Backend) -> None:
    upstream.close()

    assert ask(relay + "/webhook", b"{}")[0] == 502
