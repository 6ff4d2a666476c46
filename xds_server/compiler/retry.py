"""What an HTTPRetry means: when a request is tried again, with Istio's defaults filled in."""

from __future__ import annotations

from dataclasses import replace

from xds_server.compiler.finding import Place
from xds_server.mesh.route import Destination, Retry, WeightedDestination
from xds_server.policy.virtual_service import HTTPRetry, HTTPRoute
from xds_server.problem import Problem

STATUS_CODES = "retriable-status-codes"
"""The condition that makes Envoy look at the list of codes."""
AFTER_THE_FACT = frozenset({"5xx", "gateway-error", "reset", "retriable-4xx"})
"""Conditions under which the service may already have done what it was asked."""
TOWARDS_APPLICATIONS = ("reset-before-request",)
"""Istio's conditions for them: it cannot have seen the request."""
NOT_IDEMPOTENT = frozenset({"POST", "PATCH"})


def mesh_retry(written: HTTPRetry) -> Retry | None:
    """The retry that a MeshConfig gives to rules that say nothing."""
    return retry(written, ())


def inbound_retry(written: HTTPRetry) -> Retry | None:
    """The retry that a MeshConfig gives to what proxies send to their own applications: when, how often, how soon."""
    if not written.attempts:
        return None
    conditions, codes = _conditions(written.retry_on)
    return Retry(
        attempts=written.attempts,
        conditions=conditions or TOWARDS_APPLICATIONS,
        status_codes=codes,
        backoff=written.backoff,
        ignore_previous_hosts=False,
    )


def retry(
    written: HTTPRetry | None, destinations: tuple[WeightedDestination, ...], default: Retry | None = Retry()
) -> Retry | None:
    """The retry in force on a rule with these destinations; None is never.

    A rule that says nothing has the `default` of the mesh; one that says `retries` without attempts has no retry.
    """
    avoid = not _hashes(destinations)
    if written is None:
        return replace(default, ignore_previous_hosts=avoid and default.ignore_previous_hosts) if default else None
    if not written.attempts:
        return None
    conditions, codes = _conditions(written.retry_on)
    asked = written.retry_ignore_previous_hosts
    return Retry(
        attempts=written.attempts,
        per_try_timeout=written.per_try_timeout or None,
        conditions=conditions or Retry().conditions,
        status_codes=codes,
        backoff=written.backoff,
        remote_localities=bool(written.retry_remote_localities),
        ignore_previous_hosts=avoid if asked is None else asked,
    )


def retry_traps(rule: HTTPRoute, place: Place) -> list[Problem]:
    """What an author may not expect of a rule's retries."""
    if rule.retries is None:
        return []
    return [*_switched_off(rule.retries, place.at("retries")), *_repeated(rule, place.at("retries", "retryOn"))]


def _switched_off(written: HTTPRetry, place: Place) -> list[Problem]:
    if "attempts" in written.model_fields_set:
        return []
    message = "retries without attempts switches retries off, the default ones too"
    return [place.warning("retries-off", message, "write attempts: 0 to say so, or a number")]


def _repeated(rule: HTTPRoute, place: Place) -> list[Problem]:
    """Where the author asks for what may carry out a request twice that must not be; a status code is an answer."""
    conditions, codes = _conditions(rule.retries.retry_on) if rule.retries else ((), ())
    risky = [*(condition for condition in conditions if condition in AFTER_THE_FACT), *map(str, codes)]
    methods = [request.method.exact for request in rule.match if request.method]
    named = sorted({method for method in methods if method in NOT_IDEMPOTENT})
    if not risky or not named:
        return []
    message = f"{' and '.join(named)} may be carried out more than once: {', '.join(risky)} can come after it"
    return [place.warning("retries-not-idempotent", message, "retry on connect-failure alone")]


def _conditions(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Envoy's words, and status codes, of Istio's retryOn."""
    words = [word for word in (part.strip() for part in text.split(",")) if word]
    codes = tuple(int(word) for word in words if word.isdecimal())
    conditions = [word for word in words if not word.isdecimal()]
    if codes and STATUS_CODES not in conditions:
        conditions.append(STATUS_CODES)
    return tuple(conditions), codes


def _hashes(destinations: tuple[WeightedDestination, ...]) -> bool:
    """Whether the one destination is chosen by hash: another host on a retry would defeat it (Istio's rule)."""
    if len(destinations) != 1:
        return False
    return _balancer_hashes(destinations[0].destination)


def _balancer_hashes(destination: Destination) -> bool:
    backend = destination.backend
    if backend is None:
        return False
    port = destination.port_on(0)
    return backend.traffic.policy_for(port, destination.subset).load_balancer.hash_key is not None
