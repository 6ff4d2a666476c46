"""What is hashed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.translate.shown import shown
from xds_server.mesh.traffic import HashCookie, HashKey
from xds_server.translate.hash_policy import hash_policy, tcp_hash_policies


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (HashKey(header="x-user"), {"header": {"header_name": "x-user"}}),
        (HashKey(source_ip=True), {"connection_properties": {"source_ip": True}}),
        (HashKey(query_parameter="user"), {"query_parameter": {"name": "user"}}),
    ],
)
def test_request_is_hashed_by_its_key(key: HashKey, expected: dict[str, object]) -> None:
    assert shown(hash_policy(key)) == expected


def test_cookie_that_envoy_makes_itself_carries_its_path_and_attributes() -> None:
    cookie = HashCookie("session", "/a", timedelta(seconds=0), (("SameSite", "Lax"),))

    assert shown(hash_policy(HashKey(cookie=cookie))) == {
        "cookie": {
            "name": "session",
            "path": "/a",
            "ttl": "0s",
            "attributes": [{"name": "SameSite", "value": "Lax"}],
        }
    }


def test_cookie_without_ttl_is_never_made() -> None:
    """An absent TTL and one of zero differ: zero makes a session cookie."""
    assert "ttl" not in shown(hash_policy(HashKey(cookie=HashCookie("session"))))["cookie"]


def test_connection_can_only_be_hashed_by_where_it_comes_from() -> None:
    assert [shown(policy) for policy in tcp_hash_policies(HashKey(source_ip=True))] == [{"source_ip": {}}]
    assert tcp_hash_policies(HashKey(header="x-user")) == []
    assert tcp_hash_policies(None) == []
