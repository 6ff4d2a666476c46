"""Injected faults."""

from __future__ import annotations

from datetime import timedelta

from tests.translate.shown import shown
from xds_server.mesh.route import Fault
from xds_server.translate.fault import http_fault


def test_delay_holds_back_its_share_of_requests() -> None:
    assert shown(http_fault(Fault(delay=timedelta(seconds=7), delay_percent=10))) == {
        "delay": {"fixed_delay": "7s", "percentage": {"numerator": 100_000, "denominator": "MILLION"}}
    }


def test_abort_answers_with_its_status() -> None:
    assert shown(http_fault(Fault(abort_http_status=500, abort_percent=100))) == {
        "abort": {"http_status": 500, "percentage": {"numerator": 1_000_000, "denominator": "MILLION"}}
    }


def test_grpc_abort_keeps_the_status_zero() -> None:
    """OK is a status that can be injected, and not an absent one."""
    assert shown(http_fault(Fault(abort_grpc_status=0, abort_percent=50)))["abort"]["grpc_status"] == 0


def test_fault_without_percentage_affects_nobody() -> None:
    """Istio's default, and a trap: the filter is there and does nothing."""
    fault = shown(http_fault(Fault(delay=timedelta(seconds=1))))

    assert fault["delay"]["percentage"] == {"denominator": "MILLION"}
