"""What others report of a document."""

from __future__ import annotations

import pytest

from xds_server.policy.status import address, condition


@pytest.mark.parametrize(("written", "meant"), [("True", True), ("False", False), (False, False), ("Unknown", None)])
def test_condition_holds_as_it_is_reported(written: object, meant: bool | None) -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Healthy", "status": written}]}

    assert condition(status, "Healthy") is meant


def test_last_report_counts() -> None:
    status = {"conditions": [{"type": "Healthy", "status": "True"}, {"type": "Healthy", "status": "False"}]}

    assert condition(status, "Healthy") is False


@pytest.mark.parametrize("status", [None, [], "x", {}, {"conditions": {}}, {"conditions": [1, {"status": "True"}]}])
def test_status_that_says_nothing_of_it_is_passed_over(status: object) -> None:
    assert condition(status, "Healthy") is None


@pytest.mark.parametrize(
    ("status", "given"),
    [
        ({"addresses": [{"value": "240.240.0.7"}]}, "240.240.0.7"),
        ({"addresses": [{"value": "2001:2::7"}, {"value": "240.240.0.7", "host": "a"}]}, "240.240.0.7"),
        ({"addresses": [{"value": "240.240.0.8", "host": "b"}]}, ""),
        ({"addresses": [{"value": "nonsense"}, "text"]}, ""),
        ({"addresses": {}}, ""),
        (None, ""),
    ],
)
def test_address_is_the_one_that_was_given_to_the_host(status: object, given: str) -> None:
    assert address(status, "a") == given
