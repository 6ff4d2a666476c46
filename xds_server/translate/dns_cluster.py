"""Names that are looked up again as often as the mesh says: the form in which Envoy still takes that.

Envoy has deprecated `Cluster.dns_refresh_rate`, and warns of it for each cluster; the DNS cluster extension has it too.
"""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.extensions.clusters.common.dns import v3 as common_dns_v3
from envoy_data_plane.envoy.extensions.clusters.dns import v3 as dns_v3

from xds_server.translate.encode import any_of


def dns_cluster_type(
    refresh: timedelta, resolver: core_v3.TypedExtensionConfig, *, logical: bool
) -> cluster_v3.ClusterCustomClusterType:
    """The discovery of a cluster whose endpoints are names; `logical`: of each answer one address is used."""
    config = dns_v3.DnsCluster(
        dns_refresh_rate=refresh,
        typed_dns_resolver_config=resolver,
        dns_lookup_family=common_dns_v3.DnsLookupFamily.V4_ONLY,
        all_addresses_in_single_endpoint=logical,
    )
    return cluster_v3.ClusterCustomClusterType(name="envoy.clusters.dns", typed_config=any_of(config))
