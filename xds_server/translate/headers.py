"""Header changes on requests and responses.

Envoy refuses to set Host like any other header; Istio's way out is the route's host rewrite, which is told from here.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy_data_plane.envoy.config.core import v3 as core_v3

from xds_server.mesh.route import HeaderOperations

_ACTION = core_v3.HeaderValueOptionHeaderAppendAction
_HOST = frozenset({"host", ":authority"})


def request_headers_to_add(headers: HeaderOperations) -> list[core_v3.HeaderValueOption]:
    """What is set, then what is added; without Host, which `host_rewrite` has."""
    return _options(headers.request_set, headers.request_add)


def response_headers_to_add(headers: HeaderOperations) -> list[core_v3.HeaderValueOption]:
    """What is set, then what is added."""
    return _options(headers.response_set, headers.response_add)


def host_rewrite(headers: HeaderOperations) -> str | None:
    """The Host that the request operations ask for; None when they leave it alone. Set wins over add."""
    written = (value for name, value in (*headers.request_set, *headers.request_add) if name.lower() in _HOST)
    return next(written, None)


def _options(
    overwrite: Iterable[tuple[str, str]], append: Iterable[tuple[str, str]]
) -> list[core_v3.HeaderValueOption]:
    return [
        core_v3.HeaderValueOption(header=core_v3.HeaderValue(key=name, value=value), append_action=action)
        for operations, action in (
            (overwrite, _ACTION.OVERWRITE_IF_EXISTS_OR_ADD),
            (append, _ACTION.APPEND_IF_EXISTS_OR_ADD),
        )
        for name, value in operations
        if name.lower() not in _HOST
    ]
