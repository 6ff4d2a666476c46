"""The words of HTTP and of Envoy's router that a VirtualService may use: header names and values, retry conditions."""

from __future__ import annotations

import re

HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110's token."""
PSEUDO_HEADERS = (":method", ":scheme", ":authority", ":path", ":status")
CLAIM_PREFIX = "@request.auth.claims"
"""Starts a match on a claim of the verified token, where a header name stands otherwise."""
RETRY_CONDITIONS = (
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
)
"""Envoy's x-envoy-retry-on and x-envoy-retry-grpc-on words that Istio takes."""
LONGEST_VALUE = 16384
"""Bytes of a header's value: Envoy refuses a whole listener or virtual host for more."""
_VARIABLE = re.compile(r"%%|%[A-Z][A-Z0-9_]*(?:\(.*?\))?(?::[0-9]+)?%", re.DOTALL)
"""One of Envoy's, or a per cent sign."""
CORS_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*")


def is_header_name(name: str) -> bool:
    """Whether a message can have a header of that name."""
    return HEADER_NAME.fullmatch(name) is not None


def is_matchable(name: str) -> bool:
    """Whether a match may ask for it: a header, one of HTTP's pseudo headers, or a claim."""
    return name in PSEUDO_HEADERS or name.startswith(CLAIM_PREFIX) or is_header_name(name)


def header_value_error(value: str) -> str:
    """What keeps Envoy from reading a header value, where %...% are its variables; "" when nothing does."""
    if has_control_character(value):
        return "has a control character"
    if is_too_long(value):
        return f"is longer than {LONGEST_VALUE} bytes"
    if _has_lone_percent(value):
        return "has a lone %"
    return ""


def _has_lone_percent(value: str) -> bool:
    """Whether a per cent sign begins none of Envoy's variables; it would quote the whole value, secret or not."""
    at = value.find("%")
    while at >= 0:
        variable = _VARIABLE.match(value, at)
        if variable is None:
            return True
        at = value.find("%", variable.end())
    return False


def is_too_long(value: str) -> bool:
    """Whether it is more than a header may have; of text without `has_control_character`."""
    return len(value.encode()) > LONGEST_VALUE


def has_control_character(value: str) -> bool:
    """Whether it can be no header's value; a surrogate is what Python makes of a byte that is no UTF-8."""
    return re.search(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", value) is not None


def is_authority(name: str) -> bool:
    """Whether a header is the authority, by either of its names."""
    return name.lower() in {":authority", "host"}


def is_retry_condition(word: str) -> bool:
    """Whether Envoy retries on that word, or on that status code."""
    return word in RETRY_CONDITIONS or (word.isdecimal() and 100 <= int(word) <= 599)
