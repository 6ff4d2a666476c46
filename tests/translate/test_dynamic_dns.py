from __future__ import annotations

from envoy_data_plane.envoy.extensions.clusters.dynamic_forward_proxy import v3 as dynamic_cluster_v3

from xds_server.translate.dynamic_dns import dns_cache, dynamic_dns_cluster_type


def test_the_cluster_uses_the_cache_that_the_filter_does() -> None:
    """Envoy refuses two caches of one name that differ in any field."""
    found = dynamic_dns_cluster_type()

    assert found.typed_config is not None
    config = found.typed_config.unpack()
    assert isinstance(config, dynamic_cluster_v3.ClusterConfig)
    assert config.dns_cache_config == dns_cache()
