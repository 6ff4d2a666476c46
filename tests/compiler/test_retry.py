"""When a request is tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.builders import backend, codes, destination, document, istio, traffic_rule
from xds_server.compiler.finding import Place
from xds_server.compiler.retry import retry, retry_traps
from xds_server.mesh.route import Retry, WeightedDestination
from xds_server.mesh.traffic import HashKey, LoadBalancer, LoadBalancing, TrafficPolicy
from xds_server.policy.virtual_service import HTTPRoute, VirtualServiceSpec
from xds_server.problem import Problem

PLAIN = (destination(backend()),)
HASHED = destination(
    backend(traffic=traffic_rule(TrafficPolicy(LoadBalancer(LoadBalancing.RING_HASH, HashKey(source_ip=True)))))
)


def rule(written: str, match: str = "") -> tuple[HTTPRoute, Place]:
    text = f"hosts: [reviews], http: [{{{match} route: [{{destination: {{host: reviews}}}}], {written}}}]"
    found = document(istio("VirtualService", text))
    assert isinstance(found.spec, VirtualServiceSpec)
    return found.spec.http[0], Place(found).at("http", 0)


def made(written: str, destinations: tuple[WeightedDestination, ...] = PLAIN) -> Retry | None:
    return retry(rule(f"retries: {{{written}}}")[0].retries, destinations)


def traps(written: str, match: str = "") -> list[Problem]:
    return retry_traps(*rule(written, match))


def test_rule_that_says_nothing_has_the_default_policy() -> None:
    assert retry(None, PLAIN) == Retry()


def test_attempts_alone_keep_the_default_conditions() -> None:
    assert made("attempts: 5") == Retry(attempts=5)


def test_no_attempts_is_no_retry() -> None:
    assert made("attempts: 0") is None


def test_settings_are_taken() -> None:
    assert made(
        "attempts: 3, perTryTimeout: 2s, retryOn: '5xx, reset', backoff: 1s, retryRemoteLocalities: true"
    ) == Retry(
        attempts=3,
        per_try_timeout=timedelta(seconds=2),
        conditions=("5xx", "reset"),
        backoff=timedelta(seconds=1),
        remote_localities=True,
    )


def test_per_try_timeout_of_zero_is_none() -> None:
    found = made("attempts: 3, perTryTimeout: 0s")

    assert found is not None
    assert found.per_try_timeout is None


@pytest.mark.parametrize(
    ("written", "conditions"),
    [
        ("503", ("retriable-status-codes",)),
        ("reset,503", ("reset", "retriable-status-codes")),
        ("retriable-status-codes,503", ("retriable-status-codes",)),
    ],
)
def test_status_codes_bring_the_condition_that_looks_at_them(written: str, conditions: tuple[str, ...]) -> None:
    found = made(f'attempts: 1, retryOn: "{written}"')

    assert found is not None
    assert (found.conditions, found.status_codes) == (conditions, (503,))


def test_only_destination_that_is_chosen_by_hash_may_be_tried_again() -> None:
    """Istio drops previous_hosts there: another host would defeat the hash."""
    assert retry(None, (HASHED,)) == Retry(ignore_previous_hosts=False)


def test_weighted_destinations_avoid_previous_hosts_even_by_hash() -> None:
    assert retry(None, (HASHED, *PLAIN)) == Retry()


@pytest.mark.parametrize("asked", [True, False])
def test_author_decides_on_previous_hosts_where_he_says_so(asked: bool) -> None:
    found = made(f"attempts: 1, retryIgnorePreviousHosts: {str(asked).lower()}", (HASHED,))

    assert found == Retry(attempts=1, ignore_previous_hosts=asked)


def test_retries_without_attempts_are_reported() -> None:
    """Istio silently switches off the default retries too."""
    assert codes(traps("retries: {}")) == ["retries-off"]
    assert codes(traps("retries: {attempts: 0}")) == []


def test_repeating_what_must_not_be_repeated_is_noted() -> None:
    post = "match: [{method: {exact: POST}}],"

    assert codes(traps("retries: {attempts: 1, retryOn: 5xx}", post)) == ["retries-not-idempotent"]
    assert codes(traps("retries: {attempts: 1, retryOn: 'connect-failure,503'}", post)) == ["retries-not-idempotent"]
    assert codes(traps("retries: {attempts: 1, retryOn: connect-failure}", post)) == []
    assert codes(traps("retries: {attempts: 1, retryOn: 5xx}", "match: [{method: {exact: GET}}],")) == []
    assert codes(traps("timeout: 1s", post)) == []
