"""Who is out, and from when."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from tests.identity.material import NOW, WEB
from xds_server.identity.principal import Principal, Proof
from xds_server.identity.revocation import is_revoked, read_revoked, revoke

NODE = Principal(WEB, "web-1")
SECOND = timedelta(seconds=1)


def proof(issued: timedelta = timedelta()) -> Proof:
    return Proof(NODE, NOW + issued, NOW + timedelta(days=1))


def test_nobody_is_revoked_at_first(tmp_path: Path) -> None:
    assert read_revoked(tmp_path / "revoked") == {}


def test_what_was_issued_before_is_void_and_what_comes_after_is_good(tmp_path: Path) -> None:
    revoke(tmp_path / "revoked", "web-1.shop", NOW)
    revoked = read_revoked(tmp_path / "revoked")

    assert is_revoked(proof(-SECOND), revoked)
    assert is_revoked(proof(), revoked)
    assert not is_revoked(proof(SECOND), revoked)


def test_other_nodes_are_left_alone(tmp_path: Path) -> None:
    revoke(tmp_path / "revoked", "web-2.shop", NOW)

    assert not is_revoked(proof(), read_revoked(tmp_path / "revoked"))


@pytest.mark.parametrize("content", [b"", b"yesterday", b"\xff", b"2030-01-01T12:00:00+99:00"])
def test_file_that_cannot_be_read_keeps_its_node_out_for_good(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "web-1.shop").write_bytes(content)

    assert is_revoked(proof(timedelta(days=3000)), read_revoked(tmp_path))


def test_list_is_private(tmp_path: Path) -> None:
    revoke(tmp_path / "revoked", "web-1.shop", NOW)

    assert stat.S_IMODE((tmp_path / "revoked").stat().st_mode) == 0o700
