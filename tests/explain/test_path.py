"""What becomes of a path before routes see it."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm_v3

from xds_server.explain.path import is_redirected, normalized, path_seen, without_query

Manager = hcm_v3.HttpConnectionManager
Slashes = hcm_v3.HttpConnectionManagerPathWithEscapedSlashesAction
DECODING = Manager(
    normalize_path=True, merge_slashes=True, path_with_escaped_slashes_action=Slashes.UNESCAPE_AND_FORWARD
)


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/a/../b", "/b"),
        ("/../a", "/a"),
        ("/a/./b", "/a/b"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/a//b", "/a//b"),
        ("/a//../b", "/a/b"),
        ("/%61%2D%7e", "/a-~"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%2fb", "/a%2fb"),
        ("/%2e%2E/b", "/b"),
        ("/a\\b", "/a/b"),
        ('/a"b', "/a%22b"),
        ("/a%zz", "/a%zz"),
        ("/", "/"),
    ],
)
def test_spelling_is_made_one(sent: str, seen: str) -> None:
    assert normalized(sent) == seen


@pytest.mark.parametrize(
    ("manager", "seen"),
    [
        (Manager(), "/a/..//%2e%2Fb?q=//"),
        (Manager(normalize_path=True), "//.%2Fb?q=//"),
        (Manager(normalize_path=True, merge_slashes=True), "/.%2Fb?q=//"),
        (DECODING, "/b?q=//"),
    ],
)
def test_as_much_is_done_as_the_manager_says(manager: hcm_v3.HttpConnectionManager, seen: str) -> None:
    """The query is never touched."""
    assert path_seen(manager, "/a/..//%2e%2Fb?q=//") == seen


def test_nul_and_fragment_are_refused() -> None:
    assert path_seen(Manager(normalize_path=True), "/a%00b") is None
    assert path_seen(Manager(), "/a#b") is None


def test_encoded_slashes_may_be_refused() -> None:
    manager = Manager(path_with_escaped_slashes_action=Slashes.REJECT_REQUEST)

    assert path_seen(manager, "/a?b=%2F") == "/a?b=%2F"
    assert path_seen(manager, "/a%2Fb") is None
    assert path_seen(manager, "/a%5cb") is None


def test_whoever_sends_encoded_slashes_may_be_redirected_to_plain_ones() -> None:
    manager = Manager(path_with_escaped_slashes_action=Slashes.UNESCAPE_AND_REDIRECT)

    assert not is_redirected(manager, "/a/b?b=%2F")
    assert is_redirected(manager, "/a%2Fb?c")
    assert path_seen(manager, "/a%2Fb?c") == "/a/b?c"
    assert not is_redirected(DECODING, "/a%2Fb")


def test_query_is_no_part_of_what_a_path_is_compared_with() -> None:
    assert without_query("/a?b=/c") == "/a"
