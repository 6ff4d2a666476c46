"""When Envoy takes an endpoint out of use for a while: DestinationRule outlierDetection.

Source: Istio, DestinationRule OutlierDetection; Envoy, "Outlier detection".
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.common.matcher import v3 as matcher_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.type.matcher import v3 as type_matcher_v3

from xds_server.mesh.traffic import OutlierDetection
from xds_server.translate.encode import shared


@shared
def outlier_detection(detection: OutlierDetection) -> cluster_v3.OutlierDetection:
    """Consecutive errors only: Istio always switches ejection by success rate off.

    A detector whose count the author gave is enforced, by count 0 it is switched off, and one that was not named stays
    as Envoy has it (consecutive 5xx on at 5, gateway errors off).

    One read-only message for all that say the same.
    """
    split = detection.split_external_local_origin_errors
    local = detection.consecutive_local_origin_failures if split else None
    return cluster_v3.OutlierDetection(
        consecutive_5xx=detection.consecutive_5xx,
        enforcing_consecutive_5xx=_enforcing(detection.consecutive_5xx),
        consecutive_gateway_failure=detection.consecutive_gateway_errors,
        enforcing_consecutive_gateway_failure=_enforcing(detection.consecutive_gateway_errors),
        split_external_local_origin_errors=split,
        consecutive_local_origin_failure=local or None,
        enforcing_consecutive_local_origin_failure=100 if local else None,
        interval=detection.interval,
        base_ejection_time=detection.base_ejection_time,
        max_ejection_percent=detection.max_ejection_percent,
        enforcing_success_rate=0,
        enforcing_local_origin_success_rate=0 if split else None,
    )


def error_matcher(codes: tuple[str, ...]) -> matcher_v3.MatchPredicate:
    """Which answers count as errors, instead of every 5xx: status codes such as "503"."""
    rules = [_status(code) for code in sorted(set(codes))]
    if len(rules) == 1:
        return rules[0]  # Envoy wants two rules or more in a set
    return matcher_v3.MatchPredicate(or_match=matcher_v3.MatchPredicateMatchSet(rules=rules))


def _enforcing(count: int | None) -> int | None:
    """Percent of detected failures that really eject; absent where the author named no count."""
    if count is None:
        return None
    return 100 if count else 0


def _status(code: str) -> matcher_v3.MatchPredicate:
    wanted = type_matcher_v3.StringMatcher(exact=code)
    header = route_v3.HeaderMatcher(name=":status", string_match=wanted)
    return matcher_v3.MatchPredicate(http_response_headers_match=matcher_v3.HttpHeadersMatch(headers=[header]))
