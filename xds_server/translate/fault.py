"""Delays and aborts injected on purpose: the fault filter's settings for one route."""

from __future__ import annotations

from envoy_data_plane.envoy.extensions.filters.common.fault import v3 as common_fault_v3
from envoy_data_plane.envoy.extensions.filters.http.fault import v3 as fault_v3

from xds_server.mesh.route import Fault
from xds_server.translate.percent import fractional_percent


def http_fault(fault: Fault) -> fault_v3.HttpFault:
    """The route's settings of `envoy.filters.http.fault`. A percentage of 0 affects no request (Istio's default)."""
    return fault_v3.HttpFault(delay=_delay(fault), abort=_abort(fault))


def _delay(fault: Fault) -> common_fault_v3.FaultDelay | None:
    if fault.delay is None:
        return None
    return common_fault_v3.FaultDelay(fixed_delay=fault.delay, percentage=fractional_percent(fault.delay_percent))


def _abort(fault: Fault) -> fault_v3.FaultAbort | None:
    if fault.abort_http_status is None and fault.abort_grpc_status is None:
        return None
    return fault_v3.FaultAbort(
        http_status=fault.abort_http_status,
        grpc_status=fault.abort_grpc_status,
        percentage=fractional_percent(fault.abort_percent),
    )
