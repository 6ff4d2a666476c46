"""Header changes."""

from __future__ import annotations

import pytest

from tests.translate.shown import shown
from xds_server.mesh.route import HeaderOperations
from xds_server.translate.headers import host_rewrite, request_headers_to_add, response_headers_to_add


def test_set_overwrites_and_add_appends() -> None:
    operations = HeaderOperations(request_set=(("x-a", "1"),), request_add=(("x-b", "2"),))

    assert [shown(option) for option in request_headers_to_add(operations)] == [
        {"header": {"key": "x-a", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        {"header": {"key": "x-b", "value": "2"}},
    ]


def test_response_headers_are_changed_apart_from_the_requests() -> None:
    operations = HeaderOperations(request_set=(("x-a", "1"),), response_add=(("x-b", "2"),))

    assert [shown(option)["header"]["key"] for option in response_headers_to_add(operations)] == ["x-b"]


@pytest.mark.parametrize("name", ["host", "Host", ":authority"])
def test_host_is_rewritten_and_not_set(name: str) -> None:
    """Envoy refuses a RouteConfiguration that changes Host as a header."""
    operations = HeaderOperations(request_set=((name, "other"),))

    assert host_rewrite(operations) == "other"
    assert request_headers_to_add(operations) == []


def test_set_host_wins_over_added_host() -> None:
    assert host_rewrite(HeaderOperations(request_set=(("host", "a"),), request_add=(("host", "b"),))) == "a"


def test_host_is_left_alone_by_other_headers() -> None:
    assert host_rewrite(HeaderOperations(request_set=(("x-a", "1"),))) is None
