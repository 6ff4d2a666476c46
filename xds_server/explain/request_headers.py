"""The headers that routes see: what Envoy makes of those of a request before it looks for a route.

Source: Envoy, "HTTP header sanitizing" and "HTTP header manipulation" of the HttpConnectionManager. Which headers it
takes off was asked of a real Envoy, each by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

from xds_server.explain.traffic import Connection, Request
from xds_server.mesh.request_header import NEVER_SEEN

PROTO, CALLERS, REQUEST_ID = "x-forwarded-proto", "x-forwarded-for", "x-request-id"
CLIENT_CERT = "x-forwarded-client-cert"
SOME_ID = "00000000-0000-4000-8000-000000000000"
"""What Envoy makes up where a request has no id stands here as this."""
TAKEN_OFF = NEVER_SEEN | {"connection", "keep-alive", "proxy-connection", "te", "upgrade"}
"""Of strangers, whom Envoy takes everybody for, and of one connection only."""
_AT_EDGE = frozenset(
    {f"x-envoy-{name}" for name in ("decorator-operation", "downstream-service-cluster", "downstream-service-node")}
)
_Underscores = core_v3.HttpProtocolOptionsHeadersWithUnderscoresAction
_CertDetails = hcm_v3.HttpConnectionManagerForwardClientCertDetails
_SCHEMES = frozenset({"http", "https"})


def headers_seen(
    manager: hcm_v3.HttpConnectionManager, connection: Connection, request: Request, *, secure: bool
) -> Request | None:
    """`request` with the headers that routes see; None when `manager` refuses it for one of them.

    `secure` says that the proxy ended TLS.
    """
    action = _underscores(manager)
    has_underscores = [name for name, _ in request.headers if "_" in name]
    if has_underscores and action is _Underscores.REJECT_REQUEST:
        return None
    dropped = set(has_underscores) if action is _Underscores.DROP_HEADER else set()
    kept = [(n.lower(), value) for n, value in request.headers if n not in dropped and not _is_taken_off(n, manager)]
    own = dict(_set(manager, connection, replace(request, headers=tuple(kept)), secure=secure))
    proto = own[PROTO]
    scheme = proto if proto in _SCHEMES else _proto(secure=secure)
    headers = (*(each for each in kept if each[0] not in own), *own.items())
    return replace(request, scheme=scheme, headers=headers)


def _underscores(manager: hcm_v3.HttpConnectionManager) -> _Underscores:
    options = manager.common_http_protocol_options
    return options.headers_with_underscores_action if options else _Underscores.ALLOW


def _is_taken_off(name: str, manager: hcm_v3.HttpConnectionManager) -> bool:
    name = name.lower()
    if name == CLIENT_CERT:
        return manager.forward_client_cert_details is not _CertDetails.ALWAYS_FORWARD_ONLY
    return name in TAKEN_OFF or (bool(manager.use_remote_address) and name in _AT_EDGE)


def _set(
    manager: hcm_v3.HttpConnectionManager, connection: Connection, request: Request, *, secure: bool
) -> Iterator[tuple[str, str]]:
    """Headers that Envoy writes itself, or puts in the place of those that were sent."""
    sent = {name: value for name in (PROTO, CALLERS, REQUEST_ID) for value in request.values(name)}
    believed = not manager.use_remote_address or manager.xff_num_trusted_hops
    made = _proto(secure=secure)
    yield PROTO, sent.get(PROTO, made) if believed else made
    if manager.use_remote_address:
        yield CALLERS, ",".join([*filter(None, [sent.get(CALLERS)]), connection.source])
    if manager.generate_request_id is not False:
        yield REQUEST_ID, SOME_ID if manager.use_remote_address else sent.get(REQUEST_ID, SOME_ID)


def _proto(*, secure: bool) -> str:
    return "https" if secure else "http"
