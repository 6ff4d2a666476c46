"""What one HTTPMatchRequest means, and when one match leaves nothing for another."""

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


def is_wider(wide: Match, narrow: Match) -> bool:
    """Whether every request that `narrow` matches is matched by `wide` too, as far as the two texts alone decide it.

    Regular expressions are compared by their text: False may mean "nobody knows".
    """
    return (
        _uri_is_wider(wide, narrow)
        and all(
            _is_wider(getattr(wide, name), getattr(narrow, name), case=True)
            for name in ("scheme", "method", "authority")
        )
        and all(any(_header_is_wider(mine, other) for other in narrow.headers) for mine in wide.headers)
        and all(
            any(mine.name == other.name and _is_wider(mine.match, other.match, case=True) for other in narrow.query)
            for mine in wide.query
        )
        and wide.port in {None, narrow.port}
        and set(wide.source_labels) <= set(narrow.source_labels)
        and wide.source_namespace in {"", narrow.source_namespace}
    )


def _optional(written: values.StringMatch | None) -> StringMatch | None:
    return None if written is None else string_match(written)


def _headers(request: HTTPMatchRequest) -> tuple[HeaderMatch, ...]:
    wanted = _header_matches(request.headers, invert=False)
    return tuple(
        sorted((*wanted, *_header_matches(request.without_headers, invert=True)), key=lambda h: (h.name, h.invert))
    )


def _header_matches(written: Mapping[str, values.StringMatch], *, invert: bool) -> list[HeaderMatch]:
    return [HeaderMatch(name, string_match(header), invert) for name, header in written.items()]


def _uri_is_wider(wide: Match, narrow: Match) -> bool:
    if wide.uri in {None, StringMatch(MatchKind.PREFIX, "/"), StringMatch(MatchKind.REGEX, ".*")}:
        return True
    return _is_wider(wide.uri, narrow.uri, case=not wide.ignore_uri_case) and (
        wide.ignore_uri_case or not narrow.ignore_uri_case
    )


def _header_is_wider(wide: HeaderMatch, narrow: HeaderMatch) -> bool:
    if wide.name.lower() != narrow.name.lower() or wide.invert != narrow.invert:
        return False
    return wide.match == narrow.match if wide.invert else _is_wider(wide.match, narrow.match, case=True)


def _is_wider(wide: StringMatch | None, narrow: StringMatch | None, *, case: bool) -> bool:
    if wide is None or wide == narrow:
        return True
    if narrow is None:
        return False
    if wide.kind is MatchKind.PRESENT:
        return True
    if not {wide.kind, narrow.kind} <= {MatchKind.EXACT, MatchKind.PREFIX}:
        return False
    mine, other = (wide.value, narrow.value) if case else (wide.value.lower(), narrow.value.lower())
    if wide.kind is MatchKind.PREFIX:
        return other.startswith(mine)
    return narrow.kind is MatchKind.EXACT and mine == other
