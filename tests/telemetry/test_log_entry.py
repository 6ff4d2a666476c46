"""What an entry says about a request."""

from __future__ import annotations

import pytest

from tests.telemetry.values import entry
from xds_server.telemetry.log_entry import LogEntry


@pytest.mark.parametrize(
    ("found", "failed"),
    [
        (entry(), False),
        (entry(status=404), False),
        (entry(status=503), True),
        (entry(status=0), False),
        (entry(status=0, flags=("UF",)), True),
        (entry(grpc="UNAVAILABLE"), True),
        (entry(grpc="NOT_FOUND"), False),
        (entry(flags=("DC",)), True),
        (entry(status=404, flags=("NR",)), True),
        (entry(flags=("DI",)), False),
        (entry(flags=("DI", "UC")), True),
        (entry(status=101, flags=("DC",)), False),
        (entry(status=101, flags=("UF",)), True),
        (entry(failure="TLS_error"), True),
    ],
)
def test_what_is_a_failure(found: LogEntry, failed: bool) -> None:
    assert found.failed is found.as_json()["failed"] is failed


def test_the_called_service_is_that_of_the_cluster_else_the_host_that_was_asked_for() -> None:
    assert entry().called == "reviews"
    assert entry(cluster="inbound|8080||", authority="ratings:80").called == "ratings"


@pytest.mark.parametrize(("service", "concerned"), [("web", True), ("web.shop", True), ("reviews", True), ("x", False)])
def test_an_entry_concerns_both_ends(service: str, concerned: bool) -> None:
    assert entry().concerns(service) is concerned


@pytest.mark.parametrize("called", ["reviews", "reviews.shop.svc.cluster.local"])
@pytest.mark.parametrize("name", ["reviews", "web"])
@pytest.mark.parametrize("rest", ["", ".shop", ".shop.svc", ".shop.svc.cluster.local"])
def test_every_spelling_of_a_name_finds_what_it_called_and_what_called_it(name: str, rest: str, called: str) -> None:
    assert entry(cluster=f"outbound|80||{called}").concerns(name + rest)


def test_json_says_what_flags_mean() -> None:
    assert entry(flags=("UO", "URX")).as_json()["meaning"] == [
        "circuit breaker overflow: too many connections or requests at once",
        "retries exhausted, or connection attempts",
    ]
