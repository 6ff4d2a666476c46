"""Every cluster and endpoint list that we can write is loaded by a real Envoy: it takes each type and value."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap_v3
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint_v3

from tests.patience import PATIENCE
from xds_server.mesh.route import Backend
from xds_server.mesh.service import Endpoint, Locality, Port, Protocol, Resolution, Service
from xds_server.mesh.sidecar import OutboundPolicy
from xds_server.mesh.traffic import (
    ConnectionPool,
    H2Upgrade,
    LoadBalancer,
    LoadBalancing,
    LocalityDistribute,
    LocalityLoadBalancing,
    OutlierDetection,
    PortPolicies,
    RetryBudget,
    SlowStart,
    Subset,
    TcpKeepalive,
    TrafficPolicy,
    TrafficRule,
)
from xds_server.mesh.view import InboundPort
from xds_server.mesh.workload import Interception
from xds_server.translate.cluster import clusters, inbound_cluster, static_clusters
from xds_server.translate.encode import encode
from xds_server.translate.endpoint import load_assignments
from xds_server.translate.locality import Caller
from xds_server.xds.resource import Resource

SECOND = timedelta(seconds=1)
WEST = Locality("us-west", "zone-1", "rack-1")
EAST = Locality("us-east", "zone-2", "rack-2")
ENDPOINTS = (
    Endpoint("10.0.0.1", locality=WEST, labels=(("version", "v1"),), workload="w1", namespace="default", weight=3),
    Endpoint("10.0.0.2", locality=EAST, labels=(("version", "v2"),), draining=True, tls_mode="istio"),
    Endpoint("unix:///tmp/socket", labels=(("version", "v1"),)),
)
PROTOCOLS = [protocol for protocol in Protocol if protocol is not Protocol.UDP]
PORTS = tuple(Port(80 + n, f"p{n}", protocol) for n, protocol in enumerate(PROTOCOLS))
DETECTION = OutlierDetection(
    consecutive_5xx=5,
    consecutive_gateway_errors=0,
    consecutive_local_origin_failures=3,
    split_external_local_origin_errors=True,
    interval=SECOND,
    base_ejection_time=30 * SECOND,
    max_ejection_percent=50,
    http_error_codes=("429", "503"),
)
EVERYTHING = ConnectionPool(
    max_connections=100,
    tcp_keepalive=TcpKeepalive(3, 60 * SECOND, SECOND / 2),
    max_connection_duration=60 * SECOND,
    max_pending_requests=10,
    max_requests_per_connection=2,
    http_idle_timeout=5 * SECOND,
    max_concurrent_streams=20,
    http2_keepalive=(SECOND, SECOND),
)
TRAFFIC = {
    "defaults": TrafficPolicy(),
    "least request": TrafficPolicy(LoadBalancer(slow_start=SlowStart(SECOND, 20.0, 2.0))),
    "round robin": TrafficPolicy(LoadBalancer(LoadBalancing.ROUND_ROBIN, slow_start=SlowStart(SECOND))),
    "random": TrafficPolicy(LoadBalancer(LoadBalancing.RANDOM, locality=None)),
    "passthrough": TrafficPolicy(LoadBalancer(LoadBalancing.PASSTHROUGH)),
    "ring hash": TrafficPolicy(LoadBalancer(LoadBalancing.RING_HASH, ring_size=2048)),
    "maglev": TrafficPolicy(LoadBalancer(LoadBalancing.MAGLEV, table_size=65537)),
    "pools": TrafficPolicy(connection_pool=EVERYTHING, retry_budget=RetryBudget(interval=SECOND)),
    "upgrade": TrafficPolicy(
        connection_pool=ConnectionPool(h2_upgrade=H2Upgrade.UPGRADE, http2_keepalive=(SECOND, SECOND))
    ),
    "client protocol": TrafficPolicy(connection_pool=ConnectionPool(use_client_protocol=True)),
    "outliers": TrafficPolicy(outlier_detection=DETECTION, min_health_percent=30),
    "one error code": TrafficPolicy(outlier_detection=OutlierDetection(http_error_codes=("503",))),
    "failover": TrafficPolicy(
        LoadBalancer(locality=LocalityLoadBalancing(failover=(("us-west", "us-east"),))), outlier_detection=DETECTION
    ),
    "distribute": TrafficPolicy(
        LoadBalancer(
            locality=LocalityLoadBalancing((LocalityDistribute("us-west/*", (("us-west", 80), ("us-east", 20))),))
        )
    ),
    "proxy protocol": TrafficPolicy(proxy_protocol="V2"),
}
RESOLUTIONS = {
    Resolution.STATIC: ENDPOINTS,
    Resolution.NONE: (),
    Resolution.DNS: (Endpoint("worker", locality=WEST), Endpoint("other.example.com", locality=EAST)),
    Resolution.DNS_ROUND_ROBIN: (Endpoint("worker"),),
    Resolution.DYNAMIC_DNS: (),
}


def backend(resolution: Resolution, policy: TrafficPolicy, host: str = "worker-service") -> Backend:
    policies = PortPolicies(policy)
    subsets = (Subset("v1", (("version", "v1"),), policies),)
    service = Service(host, "default", PORTS, resolution, RESOLUTIONS[resolution])
    return Backend(service, TrafficRule(policies, subsets))


def loads(binary: Path, directory: Path, resources: Iterable[Resource], assignments: Iterable[Resource] = ()) -> str:
    """What Envoy says of a bootstrap that holds those clusters, with EDS endpoints written into them."""
    inline = {resource.name: resource.body for resource in assignments}
    static = [_static(cluster_v3.Cluster.parse(resource.body), inline) for resource in resources]
    bootstrap = bootstrap_v3.Bootstrap(static_resources=bootstrap_v3.BootstrapStaticResources(clusters=static))
    path = directory / "bootstrap.pb"
    path.write_bytes(encode(bootstrap))
    command = [str(binary), "--mode", "validate", "-l", "warning", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return "" if done.returncode == 0 and not done.stderr else done.stdout + done.stderr


def _static(cluster: cluster_v3.Cluster, inline: dict[str, bytes]) -> cluster_v3.Cluster:
    """A bootstrap has no EDS: the same cluster with its endpoints inside."""
    if cluster.type is cluster_v3.ClusterDiscoveryType.EDS:
        cluster.type = cluster_v3.ClusterDiscoveryType.STATIC
        cluster.eds_cluster_config = None
        cluster.load_assignment = endpoint_v3.ClusterLoadAssignment.parse(inline[cluster.name])
    return cluster


@pytest.mark.parametrize("resolution", RESOLUTIONS, ids=str)
def test_outbound_clusters_of_every_traffic_policy_load(
    resolution: Resolution, envoy_binary: Path, tmp_path: Path
) -> None:
    """Every policy on a port of every protocol: one bootstrap per resolution, one service per policy."""
    caller = Caller(WEST)
    backends = [backend(resolution, policy, name.replace(" ", "-")) for name, policy in TRAFFIC.items()]
    resources = [resource for each in backends for resource in clusters(each, caller)]
    assignments = [resource for each in backends for resource in load_assignments(each, caller)]

    assert not loads(envoy_binary, tmp_path, resources, assignments)


@pytest.mark.parametrize("interception", Interception, ids=str)
def test_inbound_and_static_clusters_load(interception: Interception, envoy_binary: Path, tmp_path: Path) -> None:
    """All ways to an application: where the traffic was addressed, IPv4, IPv6, a socket, and nowhere."""
    defaults = ("", "127.0.0.1:8080", "[::1]:8080", "unix:///tmp/socket")
    ports = [
        InboundPort(8000 + 20 * row + column, protocol, "worker-service", 80, default_endpoint=endpoint)
        for row, endpoint in enumerate(defaults)
        for column, protocol in enumerate(PROTOCOLS)
    ]
    resources = [
        *static_clusters(interception, OutboundPolicy.ALLOW_ANY),
        *(inbound_cluster(port, interception) for port in ports),
    ]

    assert not loads(envoy_binary, tmp_path, resources)


def test_a_wrong_cluster_does_not_load(envoy_binary: Path, tmp_path: Path) -> None:
    """The tests above can fail: Envoy takes prime table sizes only."""
    wrong = backend(Resolution.STATIC, TrafficPolicy(LoadBalancer(LoadBalancing.MAGLEV, table_size=100)))

    assert "prime" in loads(envoy_binary, tmp_path, clusters(wrong), load_assignments(wrong))
