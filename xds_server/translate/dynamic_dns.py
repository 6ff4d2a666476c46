"""Destinations that no policy names, found by their own host name: Envoy's dynamic forward proxy.

Used where nothing was captured and so no original destination is known. The cluster here and the HTTP filter in front
of it must give the same cache, down to the last field, or Envoy refuses the second.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.extensions.clusters.dynamic_forward_proxy import v3 as dynamic_cluster_v3
from envoy_data_plane.envoy.extensions.common.dynamic_forward_proxy import v3 as dynamic_v3

from xds_server.translate import names
from xds_server.translate.encode import any_of


def dns_cache() -> dynamic_v3.DnsCacheConfig:
    """The one cache of looked-up hosts of a proxy."""
    return dynamic_v3.DnsCacheConfig(name=names.DNS_CACHE, dns_lookup_family=cluster_v3.ClusterDnsLookupFamily.V4_ONLY)


def dynamic_dns_cluster_type() -> cluster_v3.ClusterCustomClusterType:
    """The discovery of a cluster whose endpoints are whatever the requests' hosts resolve to."""
    config = dynamic_cluster_v3.ClusterConfig(
        dns_cache_config=dns_cache(),
        # Envoy else demands that TLS check the host's name; no TLS is begun here, it passes as the application made it.
        allow_insecure_cluster_options=True,
    )
    return cluster_v3.ClusterCustomClusterType(name="envoy.clusters.dynamic_forward_proxy", typed_config=any_of(config))
