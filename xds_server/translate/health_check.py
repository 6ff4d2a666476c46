"""Active health checks: callers ask endpoints themselves how they are. Istio writes none; see `compiler/probe.py`.

Source: Envoy, "Health checking", and envoy.config.core.v3.HealthCheck.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3
from envoy_data_plane.envoy.type import v3 as type_v3

from xds_server.mesh.health_check import HealthCheck, Probe
from xds_server.mesh.service import Endpoint, Service


def health_checks(service: Service, *, http2: bool) -> list[core_v3.HealthCheck]:
    """The checks of one cluster: one, or none. `http2`: whether it speaks HTTP/2, which gRPC's check needs."""
    check = service.health_check
    if check is None:
        return []
    return [
        core_v3.HealthCheck(
            timeout=check.timeout,
            interval=check.interval,
            # Envoy would wait a minute between checks of endpoints that it sends nothing to.
            no_traffic_interval=check.interval,
            healthy_threshold=check.successes,
            unhealthy_threshold=check.failures,
            http_health_check=_http(check, service.host) if check.probe is Probe.HTTP else None,
            grpc_health_check=_grpc(check) if check.probe is Probe.GRPC and http2 else None,
            tcp_health_check=_tcp() if check.probe is Probe.TCP or (check.probe is Probe.GRPC and not http2) else None,
        )
    ]


def endpoint_check(service: Service, endpoint: Endpoint) -> endpoint_v3.EndpointHealthCheckConfig | None:
    """Where an endpoint is checked; one that belongs to no probed group is taken to be well."""
    if service.health_check is None:
        return None
    if not endpoint.health_port:
        return endpoint_v3.EndpointHealthCheckConfig(disable_active_health_check=True)
    return endpoint_v3.EndpointHealthCheckConfig(port_value=endpoint.health_port)


def _http(check: HealthCheck, host: str) -> core_v3.HealthCheckHttpHealthCheck:
    return core_v3.HealthCheckHttpHealthCheck(
        host=check.host or host,
        path=check.path,
        request_headers_to_add=[
            core_v3.HeaderValueOption(
                header=core_v3.HeaderValue(key=name, value=value),
                append_action=core_v3.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
            )
            for name, value in check.headers
        ],
        expected_statuses=[type_v3.Int64Range(start=200, end=400)],
        # Any other status would make an endpoint unhealthy at once, whatever the threshold.
        retriable_statuses=[type_v3.Int64Range(start=100, end=200), type_v3.Int64Range(start=400, end=600)],
    )


def _grpc(check: HealthCheck) -> core_v3.HealthCheckGrpcHealthCheck:
    return core_v3.HealthCheckGrpcHealthCheck(service_name=check.grpc_service)


def _tcp() -> core_v3.HealthCheckTcpHealthCheck:
    """With nothing to send and nothing to expect a connection is enough."""
    return core_v3.HealthCheckTcpHealthCheck()
