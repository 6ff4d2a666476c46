"""Answers that Envoy gives itself: redirects and direct responses."""

from __future__ import annotations

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.mesh.route import DirectResponse, Redirect

_CODES = {
    301: route_v3.RedirectActionRedirectResponseCode.MOVED_PERMANENTLY,
    302: route_v3.RedirectActionRedirectResponseCode.FOUND,
    303: route_v3.RedirectActionRedirectResponseCode.SEE_OTHER,
    307: route_v3.RedirectActionRedirectResponseCode.TEMPORARY_REDIRECT,
    308: route_v3.RedirectActionRedirectResponseCode.PERMANENT_REDIRECT,
}
"""The codes that Envoy knows; policies with others are refused (Istio lets them through and Envoy refuses the lot)."""
_DEFAULT_PORTS = {("http", 80), ("https", 443)}


def redirect_action(redirect: Redirect, listener_port: int) -> route_v3.RedirectAction:
    """`redirect` for requests that came in on `listener_port`."""
    return route_v3.RedirectAction(
        host_redirect=redirect.authority,
        path_redirect=redirect.uri or None,
        prefix_rewrite=redirect.prefix_rewrite or None,
        scheme_redirect=redirect.scheme or None,
        port_redirect=_port(redirect, listener_port),
        response_code=_CODES[redirect.code],
    )


def direct_response_action(response: DirectResponse) -> route_v3.DirectResponseAction:
    """`response` with its body as text where it is text, which people can read in a config dump."""
    return route_v3.DirectResponseAction(
        status=response.status, body=None if response.body is None else _data_source(response.body)
    )


def _data_source(body: bytes) -> core_v3.DataSource:
    try:
        return core_v3.DataSource(inline_string=body.decode())
    except UnicodeDecodeError:
        return core_v3.DataSource(inline_bytes=body)


def _port(redirect: Redirect, listener_port: int) -> int:
    """0 leaves the port to Envoy, which knows the scheme's default; a URL never names that one (Istio's rule)."""
    port = redirect.port or (listener_port if redirect.derive_port == "FROM_REQUEST_PORT" else 0)
    return 0 if (redirect.scheme or "http", port) in _DEFAULT_PORTS else port
