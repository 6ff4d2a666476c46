"""Retries of a route."""

from __future__ import annotations

from datetime import timedelta

from tests.translate.shown import shown
from xds_server.mesh.proxy_settings import ISTIO_SETTINGS
from xds_server.mesh.route import Retry
from xds_server.translate.retry import retry_policy


def test_default_retry_is_istios() -> None:
    assert shown(retry_policy(Retry())) == {
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "num_retries": 2,
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": "5",
    }


def test_every_setting_of_the_author_is_written() -> None:
    second = timedelta(seconds=1)

    found = shown(retry_policy(Retry(3, second, ("5xx", "retriable-status-codes"), (409, 429), backoff=second / 4)))

    assert found["retry_on"] == "5xx,retriable-status-codes"
    assert found["num_retries"] == 3
    assert found["per_try_timeout"] == "1s"
    assert found["retriable_status_codes"] == [409, 429]
    assert found["retry_back_off"] == {"base_interval": "0.250s"}


def test_status_codes_bring_the_condition_that_makes_envoy_look_at_them() -> None:
    policy = retry_policy(Retry(conditions=("reset",), status_codes=(409,)))

    assert policy.retry_on == "reset,retriable-status-codes"


def test_endpoints_that_failed_are_tried_again_when_the_author_wants_it() -> None:
    """Without the predicate, looking for another host would only cost time."""
    policy = retry_policy(Retry(ignore_previous_hosts=False))

    assert not policy.retry_host_predicate
    assert policy.host_selection_retry_max_attempts == 0


def test_retries_in_other_localities_move_on_every_second_try() -> None:
    priority = shown(retry_policy(Retry(remote_localities=True)))["retry_priority"]

    assert priority["name"] == "envoy.retry_priorities.previous_priorities"
    assert priority["typed_config"]["update_frequency"] == 2


def test_towards_the_application_only_what_it_cannot_have_seen_is_tried_again() -> None:
    inbound = ISTIO_SETTINGS.inbound_retry

    assert inbound
    assert shown(retry_policy(inbound)) == {"retry_on": "reset-before-request", "num_retries": 2}
