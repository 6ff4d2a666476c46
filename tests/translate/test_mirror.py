"""Mirrored requests."""

from __future__ import annotations

from tests.translate.shown import shown
from xds_server.translate.mirror import mirror_policy


def test_mirror_copies_its_share_under_the_name_that_was_asked_for() -> None:
    """Envoy's own way would call the copy's host "reviews-shadow", which the mirrored service does not know."""
    assert shown(mirror_policy("outbound|9080|v2|reviews", 12.5)) == {
        "cluster": "outbound|9080|v2|reviews",
        "runtime_fraction": {"default_value": {"numerator": 125_000, "denominator": "MILLION"}},
        "trace_sampled": False,
        "disable_shadow_host_suffix_append": True,
    }
