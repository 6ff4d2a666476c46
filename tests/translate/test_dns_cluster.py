"""Clusters that are looked up as often as the mesh says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from envoy_data_plane.envoy.config.core import v3 as core_v3

from tests.translate.shown import shown
from xds_server.translate.dns_cluster import dns_cluster_type


@pytest.mark.parametrize("logical", [True, False])
def test_names_are_looked_up_as_often_as_asked(*, logical: bool) -> None:
    resolver = core_v3.TypedExtensionConfig(name="envoy.network.dns_resolver.cares")

    found = shown(dns_cluster_type(timedelta(seconds=9), resolver, logical=logical))

    assert found["name"] == "envoy.clusters.dns"
    assert found["typed_config"]["dns_refresh_rate"] == "9s"
    assert found["typed_config"].get("all_addresses_in_single_endpoint", False) is logical
