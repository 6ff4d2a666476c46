"""The path that routes see: what Envoy makes of the one in a request before it looks for a route.

Source: Envoy, `normalize_path` of the HttpConnectionManager: RFC 3986 with the habits of browsers, as Chromium's
url_canon has them.
"""

from __future__ import annotations

import re

from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

_Slashes = hcm_v3.HttpConnectionManagerPathWithEscapedSlashesAction
_KEEP = {_Slashes.IMPLEMENTATION_SPECIFIC_DEFAULT, _Slashes.KEEP_UNCHANGED}
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""What percent encoding is taken off of."""
_KEPT = frozenset(b"!$%&'()*+,/:;=@[]|") | _UNRESERVED
"""What stays as it is; all else is percent-encoded."""
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
"""Of our own, for which Python's engine is well: no user wrote it."""
_SLASHES = re.compile("//+")


def path_seen(manager: hcm_v3.HttpConnectionManager, path: str) -> str | None:
    """The path that routes see of one that was sent, with its query; None when `manager` refuses it."""
    if "#" in path:
        return None
    action = manager.path_with_escaped_slashes_action
    plain, mark, query = path.partition("?")
    if action is _Slashes.REJECT_REQUEST and has_encoded_slashes(path):
        return None
    decoded = plain if action in _KEEP else _with_slashes(plain)
    seen = normalized(decoded) if manager.normalize_path else decoded
    if seen is None:
        return None
    return (_SLASHES.sub("/", seen) if manager.merge_slashes else seen) + mark + query


def is_redirected(manager: hcm_v3.HttpConnectionManager, path: str) -> bool:
    """Whether `manager` sends whoever asks for `path` to `path_seen`, before any route is looked at."""
    return manager.path_with_escaped_slashes_action is _Slashes.UNESCAPE_AND_REDIRECT and has_encoded_slashes(path)


def has_encoded_slashes(path: str) -> bool:
    """Whether there is a slash or backslash, percent-encoded, before the query."""
    plain = path.partition("?")[0]
    return _with_slashes(plain) != plain


def _with_slashes(path: str) -> str:
    for escape, character in (("%2F", "/"), ("%2f", "/"), ("%5C", "\\"), ("%5c", "\\")):
        path = path.replace(escape, character)
    return path


def normalized(path: str) -> str | None:
    """`path`, which has no query, with dot segments resolved and spelling made one; None when Envoy refuses it."""
    spelled = _ESCAPE.sub(_respelled, path.encode()).replace(b"\\", b"/")
    if b"%00" in spelled:
        return None
    encoded = "".join(chr(byte) if byte in _KEPT else f"%{byte:02X}" for byte in spelled)
    return _without_dots(encoded)


def _respelled(escape: re.Match[bytes]) -> bytes:
    byte = int(escape[0][1:], 16)
    return bytes([byte]) if byte in _UNRESERVED else escape[0]


def _without_dots(path: str) -> str:
    """RFC 3986, 5.2.4; empty segments stay."""
    out: list[str] = []
    first, *segments = path.split("/")
    for place, segment in enumerate([first, *segments] if first else segments, start=1):
        is_last = place == len(segments) + bool(first)
        if segment == "..":
            out[-1:] = []
        elif segment != ".":
            out.append(segment)
        if segment in {".", ".."} and is_last:
            out.append("")
    return "/" + "/".join(out)


def without_query(path: str) -> str:
    """What a route's path is compared with."""
    return path.partition("?")[0].partition("#")[0]
