from __future__ import annotations

from xds_server.translate.metadata import Plain, struct


def test_plain_values_keep_their_kind() -> None:
    """`external` is a boolean in Istio's metadata; as the text "True" nothing would match it."""
    plain: dict[str, Plain] = {"text": "a", "flag": True, "inner": {"list": ["b", {"c": "d"}]}}

    assert struct(plain).to_dict() == plain
