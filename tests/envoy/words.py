"""Words that drawn policies and requests are made of.

They are few, so that they often meet, nearly meet, or differ by a letter.
"""

from __future__ import annotations

from typing import Any

Fields = dict[str, Any]
"""Something of a policy, as it is written."""

OWN_IP = "10.7.9.9"
HOSTS = ("a.test", "b.a.test", "c.test", "*.a.test", "*.test")
NAMES = (
    "a.test", "A.Test", "a.test.", "b.a.test", "x.a.test", "x.b.a.test", "c.test", "xc.test", "other.net", "10.7.0.1",
)  # fmt: skip
CAPTURED_PORTS = (80, 8080, 443, 9000)
CAPTURED_ADDRESSES = ("10.7.0.1", "10.7.0.2", "10.7.1.5", "10.7.1.77", "192.0.2.7")
PATHS = (
    "/", "/a", "/a/", "/a/b", "/A/b", "/ab", "/a/b/c", "/a/../b", "/./a", "/a%2Fb", "/%61", "/a//b", "/a%7e", "/a/..",
    "/a;b", "/a%20b", "//a", "/a%5Cb", "/a/%2e%2e/b", "/a\\b",
)  # fmt: skip
ASKED_HEADERS = ("x-one", "x-two", "cookie", "accept", "x_one", "x-forwarded-proto")
HEADERS = (
    "x-one", "X-Two", "cookie", "Accept", "x_one", "X-Forwarded-Proto", "x-forwarded-for", "x-envoy-max-retries",
)  # fmt: skip
VALUES = ("", "1", "12", "one", "ONE", "one,1", "https")
QUERIES = ("", "?q=1", "?q=12&r=one", "?r", "?q=&q=1", "?Q=1", "?q=%31")
MESH_ALPN = (("istio-http/1.1", "istio"), ("istio-h2",), ("istio",), ("http/1.1",), ("h2", "http/1.1"), ())
FITTING = {
    "/a.*": ("/a", "/ab", "/a/b"),
    "/(a|b)": ("/a", "/b"),
    ".*b": ("/a/b", "/ab"),
    "(?i)/A/.*": ("/a/b", "/A/b"),
    "/a/[^/]+": ("/a/b", "/a/b;c"),
    "/.*": ("/", "/a/b"),
    "[0-9]+": ("1", "12"),
    "on.": ("one",),
    "one|1": ("one", "1"),
    ".*1": ("1", "one,1"),
    "GET|POST": ("GET", "POST"),
}
"""Patterns, and what fits them."""
PATH_PATTERNS, VALUE_PATTERNS = tuple(FITTING)[:6], tuple(FITTING)[6:10]
