from __future__ import annotations

from datetime import timedelta

from xds_server.mesh.traffic import OutlierDetection
from xds_server.translate.outlier_detection import error_matcher, outlier_detection


def test_a_detector_that_was_named_is_enforced() -> None:
    found = outlier_detection(OutlierDetection(consecutive_5xx=5, consecutive_gateway_errors=3))

    assert (found.consecutive_5xx, found.enforcing_consecutive_5xx) == (5, 100)
    assert (found.consecutive_gateway_failure, found.enforcing_consecutive_gateway_failure) == (3, 100)


def test_a_count_of_zero_switches_a_detector_off() -> None:
    found = outlier_detection(OutlierDetection(consecutive_5xx=0, consecutive_gateway_errors=0))

    assert found.enforcing_consecutive_5xx == 0
    assert found.enforcing_consecutive_gateway_failure == 0


def test_a_detector_that_was_not_named_stays_as_envoy_has_it() -> None:
    """Envoy: consecutive 5xx on at 5, gateway errors counted and not enforced."""
    found = outlier_detection(OutlierDetection())

    assert found.consecutive_5xx is None
    assert found.enforcing_consecutive_5xx is None
    assert found.enforcing_consecutive_gateway_failure is None
    assert found.max_ejection_percent is None


def test_ejection_by_success_rate_is_always_off() -> None:
    assert outlier_detection(OutlierDetection()).enforcing_success_rate == 0


def test_times_and_the_limit_of_ejection_are_the_authors() -> None:
    asked = OutlierDetection(
        interval=timedelta(seconds=30), base_ejection_time=timedelta(minutes=1), max_ejection_percent=50
    )

    found = outlier_detection(asked)

    assert found.interval == timedelta(seconds=30)
    assert found.base_ejection_time == timedelta(minutes=1)
    assert found.max_ejection_percent == 50


def test_local_origin_failures_count_apart_only_when_split() -> None:
    together = outlier_detection(OutlierDetection(consecutive_local_origin_failures=3))
    apart = outlier_detection(
        OutlierDetection(consecutive_local_origin_failures=3, split_external_local_origin_errors=True)
    )

    assert together.consecutive_local_origin_failure is None
    assert apart.split_external_local_origin_errors
    assert apart.consecutive_local_origin_failure == 3
    assert apart.enforcing_consecutive_local_origin_failure == 100
    assert apart.enforcing_local_origin_success_rate == 0


def test_one_error_code_is_a_condition_and_several_are_alternatives() -> None:
    """Envoy refuses a set of one."""
    one, two = error_matcher(("503",)), error_matcher(("503", "429"))

    assert one.or_match is None
    assert one.http_response_headers_match is not None
    (header,) = one.http_response_headers_match.headers
    assert header.name == ":status"
    assert header.string_match is not None
    assert header.string_match.exact == "503"
    assert two.or_match is not None
    assert two.or_match.rules == [error_matcher(("429",)), error_matcher(("503",))]
