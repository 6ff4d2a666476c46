"""What one HTTPMatchRequest means."""

from __future__ import annotations

from collections.abc import Mapping

from xds_server.compiler.gateway_name import MESH
from xds_server.compiler.workload_entry import sorted_labels
from xds_server.mesh.route import HeaderMatch, Match, MatchKind, QueryMatch, StringMatch
from xds_server.policy import values
from xds_server.policy.virtual_service import HTTPMatchRequest


def match(request: HTTPMatchRequest, gateways: tuple[str, ...] = (MESH,)) -> Match:
    """The conditions of `request`, which holds at `gateways`.

    A match that names gateways does not look at the caller's labels and namespace (Istio's rule).
    """
    return Match(
        uri=_optional(request.uri),
        ignore_uri_case=request.ignore_uri_case,
        scheme=_optional(request.scheme),
        method=_optional(request.method),
        authority=_optional(request.authority),
        headers=_headers(request),
        query=tuple(QueryMatch(name, string_match(m)) for name, m in sorted(request.query_params.items())),
        port=request.port,
        source_labels=() if request.gateways else sorted_labels(request.source_labels),
        source_namespace="" if request.gateways else request.source_namespace or "",
        gateways=gateways,
        stat_prefix=request.stat_prefix,
    )


def string_match(written: values.StringMatch) -> StringMatch:
    """One comparison; nothing written asks for presence alone."""
    if written.exact is not None:
        return StringMatch(MatchKind.EXACT, written.exact)
    if written.prefix is not None:
        return StringMatch(MatchKind.PREFIX, written.prefix)
    if written.regex is not None and written.regex != "*":
        return StringMatch(MatchKind.REGEX, written.regex)
    return StringMatch(MatchKind.PRESENT)


def _optional(written: values.StringMatch | None) -> StringMatch | None:
    return None if written is None else string_match(written)


def _headers(request: HTTPMatchRequest) -> tuple[HeaderMatch, ...]:
    wanted = _header_matches(request.headers, invert=False)
    return tuple(
        sorted((*wanted, *_header_matches(request.without_headers, invert=True)), key=lambda h: (h.name, h.invert))
    )


def _header_matches(written: Mapping[str, values.StringMatch], *, invert: bool) -> list[HeaderMatch]:
    return [HeaderMatch(name, string_match(header), invert) for name, header in written.items()]
