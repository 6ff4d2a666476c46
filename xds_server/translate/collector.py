"""Who takes spans and log entries, as Envoy reaches it: by the mesh's own cluster of the service."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from envoy_data_plane.envoy.config.core import v3 as core_v3

from xds_server.mesh.telemetry import Collector, Headers, Reports
from xds_server.translate import names
from xds_server.xds import type_url


def cluster(collector: Collector) -> str:
    """Its cluster, which `mesh.view` sees to."""
    return names.outbound_cluster(collector.port, "", collector.host)


def grpc_service(
    collector: Collector, *, timeout: timedelta | None = None, metadata: Headers = ()
) -> core_v3.GrpcService:
    """It, called by gRPC."""
    return core_v3.GrpcService(
        envoy_grpc=core_v3.GrpcServiceEnvoyGrpc(cluster_name=cluster(collector), authority=collector.host),
        timeout=timeout,
        initial_metadata=[core_v3.HeaderValue(key=name, value=value) for name, value in metadata],
    )


def http_service(collector: Collector, path: str, timeout: timedelta, headers: Headers) -> core_v3.HttpService:
    """It, called by HTTP."""
    return core_v3.HttpService(
        http_uri=core_v3.HttpUri(uri=f"http://{collector.host}{path}", cluster=cluster(collector), timeout=timeout),
        request_headers_to_add=[_header(name, value) for name, value in headers],
    )


def collector_refs(reports: Reports) -> Iterable[tuple[str, str]]:
    """The clusters that a listener needs which tells this."""
    return ((type_url.CLUSTER, cluster(collector)) for collector in reports.collectors)


def _header(name: str, value: str) -> core_v3.HeaderValueOption:
    return core_v3.HeaderValueOption(
        header=core_v3.HeaderValue(key=name, value=value),
        append_action=core_v3.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
