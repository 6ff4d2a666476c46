"""What others report of a document."""

from __future__ import annotations

import pytest

from xds_server.policy.status import condition


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
