"""Connections read as HTTP: the HTTP connection manager, outbound with routes by RDS, inbound with its routes inside.

Routes change often and listeners should not: changing a listener drains its connections, so outbound ones name their
RouteConfiguration and never hold it. Defaults are Istio's (pilot/pkg/networking/core, buildHTTPConnectionManager).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

from xds_server.mesh.proxy_settings import (
    ISTIO_SETTINGS,
    EscapedSlashes,
    ForwardedCert,
    PathNormalization,
    ProxyHeaders,
    ProxySettings,
    Topology,
)
from xds_server.mesh.telemetry import NO_REPORTS, Reports
from xds_server.translate.access_log import access_logs
from xds_server.translate.connection_limits import caller_http2_options, caller_options
from xds_server.translate.encode import any_of
from xds_server.translate.header_case import http1_options
from xds_server.translate.http_filters import http_filters
from xds_server.translate.tracing import http_tracing, request_ids

HTTP_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
INBOUND_SERVER_NAME = "istio-envoy"
"""The Server header of what a sidecar answers for its application (Istio's)."""

_CertDetails = hcm_v3.HttpConnectionManagerForwardClientCertDetails
_ServerHeader = hcm_v3.HttpConnectionManagerServerHeaderTransformation
_EscapedSlashes = hcm_v3.HttpConnectionManagerPathWithEscapedSlashesAction
_ESCAPED_SLASHES = {
    EscapedSlashes.KEEP_UNCHANGED: _EscapedSlashes.KEEP_UNCHANGED,
    EscapedSlashes.REJECT_REQUEST: _EscapedSlashes.REJECT_REQUEST,
    EscapedSlashes.UNESCAPE_AND_REDIRECT: _EscapedSlashes.UNESCAPE_AND_REDIRECT,
    EscapedSlashes.UNESCAPE_AND_FORWARD: _EscapedSlashes.UNESCAPE_AND_FORWARD,
}
_MERGING = frozenset({PathNormalization.MERGE_SLASHES, PathNormalization.DECODE_AND_MERGE_SLASHES})


def outbound_http(
    stat_prefix: str,
    route: str,
    settings: ProxySettings = ISTIO_SETTINGS,
    reports: Reports = NO_REPORTS,
    *,
    dynamic_forward_proxy: bool = False,
) -> listener_v3.Filter:
    """The network filter that routes requests by the RouteConfiguration named `route`."""
    filters = _filters(settings, dynamic_forward_proxy=dynamic_forward_proxy)
    return _filter(_manager(stat_prefix, filters, _OUTBOUND, settings, reports, rds=_rds(route)))


def inbound_http(
    stat_prefix: str,
    routes: route_v3.RouteConfiguration,
    settings: ProxySettings = ISTIO_SETTINGS,
    reports: Reports = NO_REPORTS,
) -> listener_v3.Filter:
    """The network filter that hands requests to the application by `routes`."""
    return _filter(
        _manager(stat_prefix, _filters(settings), _inbound(settings.headers), settings, reports, routes=routes)
    )


def gateway_http(
    stat_prefix: str,
    route: str,
    settings: ProxySettings = ISTIO_SETTINGS,
    reports: Reports = NO_REPORTS,
    *,
    dynamic_forward_proxy: bool = False,
) -> listener_v3.Filter:
    """The network filter of a router, which routes requests from outside by the RouteConfiguration named `route`."""
    filters = _filters(settings, dynamic_forward_proxy=dynamic_forward_proxy)
    return _filter(_manager(stat_prefix, filters, _gateway(settings.topology), settings, reports, rds=_rds(route)))


@dataclass(frozen=True, slots=True)
class _Side:
    """What depends on who calls.

    Attributes:
        is_edge: callers are strangers: their address is what the connection says, and no header of theirs is believed.
        caller: what of the caller's certificate the application is told.
        trusted_hops: how many proxies in front are believed to say who calls.
    """

    server_name: str
    is_edge: bool
    cert_details: hcm_v3.HttpConnectionManagerForwardClientCertDetails
    caller: hcm_v3.HttpConnectionManagerSetCurrentClientCertDetails | None
    trusted_hops: int = 0


_Caller = hcm_v3.HttpConnectionManagerSetCurrentClientCertDetails
_OUTBOUND = _Side("", False, _CertDetails.SANITIZE, None)
_FORWARDED_CERT = {
    ForwardedCert.SANITIZE: _CertDetails.SANITIZE,
    ForwardedCert.FORWARD_ONLY: _CertDetails.FORWARD_ONLY,
    ForwardedCert.APPEND_FORWARD: _CertDetails.APPEND_FORWARD,
    ForwardedCert.SANITIZE_SET: _CertDetails.SANITIZE_SET,
    ForwardedCert.ALWAYS_FORWARD_ONLY: _CertDetails.ALWAYS_FORWARD_ONLY,
}


def _inbound(headers: ProxyHeaders) -> _Side:
    """Who called, as far as mesh TLS proved it: unless told otherwise, Envoy takes the header off plain connections."""
    told = headers.told_of_caller
    return _Side(
        INBOUND_SERVER_NAME,
        is_edge=False,
        cert_details=_FORWARDED_CERT[headers.forwarded_cert],
        caller=_Caller(subject=told.subject, cert=told.cert, chain=told.chain, dns=told.dns, uri=told.uri),
    )


def _gateway(topology: Topology) -> _Side:
    return _Side(
        INBOUND_SERVER_NAME,
        is_edge=True,
        cert_details=_FORWARDED_CERT[topology.forwarded_cert],
        caller=_Caller(subject=True, cert=True, dns=True, uri=True),
        trusted_hops=topology.trusted_proxies,
    )


def _manager(
    stat_prefix: str,
    filters: list[hcm_v3.HttpFilter],
    side: _Side,
    settings: ProxySettings,
    reports: Reports,
    *,
    rds: hcm_v3.Rds | None = None,
    routes: route_v3.RouteConfiguration | None = None,
) -> hcm_v3.HttpConnectionManager:
    """The codec stays AUTO: HTTP/1.1 or HTTP/2, as the first bytes say."""
    paths = settings.path_normalization
    headers, limits = settings.headers, settings.router_limits if side.is_edge else settings.limits
    return hcm_v3.HttpConnectionManager(
        stat_prefix=stat_prefix,
        rds=rds,
        route_config=routes,
        http_filters=filters,
        common_http_protocol_options=caller_options(limits),
        http2_protocol_options=caller_http2_options(limits),
        drain_timeout=limits.drain,
        request_timeout=limits.request,
        request_headers_timeout=limits.request_headers,
        normalize_path=paths is not PathNormalization.NONE,
        merge_slashes=paths in _MERGING if limits.merge_slashes is None else limits.merge_slashes,
        path_with_escaped_slashes_action=_ESCAPED_SLASHES[limits.escaped_slashes or _escaped_slashes(paths)],
        use_remote_address=side.is_edge,
        xff_num_trusted_hops=side.trusted_hops,
        generate_request_id=headers.request_id,
        append_x_forwarded_port=headers.port,
        http_protocol_options=http1_options(keeps_case=True) if headers.keeps_case else None,
        request_id_extension=request_ids(reports.tracing) if reports.tracing else None,
        tracing=http_tracing(reports.tracing) if reports.tracing else None,
        access_log=access_logs(reports),
        stream_idle_timeout=limits.stream_idle,
        upgrade_configs=[hcm_v3.HttpConnectionManagerUpgradeConfig(upgrade_type="websocket")],
        server_name="" if headers.server is None else headers.server or side.server_name,
        server_header_transformation=_ServerHeader.PASS_THROUGH if headers.server is None else _ServerHeader.OVERWRITE,
        forward_client_cert_details=side.cert_details,
        set_current_client_cert_details=side.caller,
    )


def _escaped_slashes(paths: PathNormalization) -> EscapedSlashes:
    if paths is PathNormalization.DECODE_AND_MERGE_SLASHES:
        return EscapedSlashes.UNESCAPE_AND_FORWARD
    return EscapedSlashes.KEEP_UNCHANGED


def _filters(settings: ProxySettings, *, dynamic_forward_proxy: bool = False) -> list[hcm_v3.HttpFilter]:
    tells = settings.headers.envoy_headers
    return http_filters(dynamic_forward_proxy=dynamic_forward_proxy, envoy_headers=tells)


def _rds(route: str) -> hcm_v3.Rds:
    return hcm_v3.Rds(config_source=_over_this_stream(), route_config_name=route)


def _over_this_stream() -> core_v3.ConfigSource:
    """RDS on the stream that the listener came on; Envoy waits for it, for as long as it takes."""
    return core_v3.ConfigSource(
        ads=core_v3.AggregatedConfigSource(),
        initial_fetch_timeout=timedelta(0),
        resource_api_version=core_v3.ApiVersion.V3,
    )


def _filter(manager: hcm_v3.HttpConnectionManager) -> listener_v3.Filter:
    return listener_v3.Filter(name=HTTP_CONNECTION_MANAGER, typed_config=any_of(manager))
