"""Cross-origin rules."""

from __future__ import annotations

from datetime import timedelta

from tests.translate.shown import shown
from xds_server.mesh.route import Cors, MatchKind, StringMatch
from xds_server.translate.cors import cors_policy

ALWAYS = {"default_value": {"numerator": 1_000_000, "denominator": "MILLION"}}


def test_every_setting_of_the_author_is_written() -> None:
    cors = Cors(
        allow_origins=(StringMatch(MatchKind.EXACT, "https://a"), StringMatch(MatchKind.REGEX, ".*b")),
        allow_methods=("GET", "POST"),
        allow_headers=("x-a", "x-b"),
        expose_headers=("x-c",),
        max_age=timedelta(hours=24),
        allow_credentials=True,
        forward_not_matching_preflights=False,
    )

    assert shown(cors_policy(cors)) == {
        "allow_origin_string_match": [{"exact": "https://a"}, {"safe_regex": {"regex": ".*b"}}],
        "allow_methods": "GET,POST",
        "allow_headers": "x-a,x-b",
        "expose_headers": "x-c",
        "max_age": "86400",
        "allow_credentials": True,
        "filter_enabled": ALWAYS,
        "forward_not_matching_preflights": False,
    }


def test_what_is_left_out_stays_out() -> None:
    """Except preflights that match nothing, which Istio lets through."""
    assert shown(cors_policy(Cors())) == {"filter_enabled": ALWAYS, "forward_not_matching_preflights": True}
