"""When and how often Envoy tries a request again (Istio, pilot/pkg/networking/core/route/retry)."""

from __future__ import annotations

from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts import v3 as previous_hosts_v3
from envoy_data_plane.envoy.extensions.retry.priority.previous_priorities import v3 as previous_priorities_v3

from xds_server.mesh.route import Retry
from xds_server.translate.encode import any_of, shared

HOST_SELECTION_ATTEMPTS = 5
"""How often another endpoint is looked for before a retry goes to one that failed already (Istio's number)."""
STATUS_CODES_CONDITION = "retriable-status-codes"


@shared
def retry_policy(retry: Retry) -> route_v3.RetryPolicy:
    """`retry` for one route: one read-only message for all that say the same."""
    avoid = retry.ignore_previous_hosts
    return route_v3.RetryPolicy(
        retry_on=",".join(_conditions(retry)),
        num_retries=retry.attempts,
        per_try_timeout=retry.per_try_timeout,
        retriable_status_codes=list(retry.status_codes),
        retry_back_off=route_v3.RetryPolicyRetryBackOff(base_interval=retry.backoff) if retry.backoff else None,
        retry_host_predicate=[_PREVIOUS_HOSTS] if avoid else [],
        host_selection_retry_max_attempts=HOST_SELECTION_ATTEMPTS if avoid else 0,
        retry_priority=_PREVIOUS_PRIORITIES if retry.remote_localities else None,
    )


def _conditions(retry: Retry) -> tuple[str, ...]:
    """Envoy looks at `retriable_status_codes` under that condition only."""
    if retry.status_codes and STATUS_CODES_CONDITION not in retry.conditions:
        return (*retry.conditions, STATUS_CODES_CONDITION)
    return retry.conditions


_PREVIOUS_HOSTS = route_v3.RetryPolicyRetryHostPredicate(
    name="envoy.retry_host_predicates.previous_hosts", typed_config=any_of(previous_hosts_v3.PreviousHostsPredicate())
)
_PREVIOUS_PRIORITIES = route_v3.RetryPolicyRetryPriority(
    name="envoy.retry_priorities.previous_priorities",
    # Two tries in one priority before it counts as used up: Istio's number.
    typed_config=any_of(previous_priorities_v3.PreviousPrioritiesConfig(update_frequency=2)),
)
