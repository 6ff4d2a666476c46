"""What our encoder costs beside betterproto2's own `bytes(message)`, in one run.

python -m bench.encode
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import betterproto2
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.route import v3 as route_v3

from xds_server.mesh.route import Backend
from xds_server.mesh.service import Endpoint, Locality, Port, Protocol, Resolution, Service
from xds_server.mesh.traffic import TrafficRule
from xds_server.translate.cluster import clusters
from xds_server.translate.encode import encode
from xds_server.translate.endpoint import load_assignment

BUDGET = 0.5
"""Seconds spent on each measurement."""
PORT = Port(80, "http", Protocol.HTTP)


def cases() -> dict[str, betterproto2.Message]:
    """What is encoded, by what it is called in the table."""
    places = [Locality("us", zone) for zone in ("a", "b")]
    endpoints = tuple(Endpoint(f"10.0.0.{n}", locality=places[n % 2], workload=f"w{n}") for n in range(10))
    backend = Backend(Service("worker-service", "default", (PORT,), Resolution.STATIC, endpoints), TrafficRule())
    return {
        "Cluster": cluster_v3.Cluster.parse(clusters(backend)[0].body),
        "ClusterLoadAssignment of 10": load_assignment(backend, PORT, ""),
        "100 virtual hosts": route_v3.RouteConfiguration(name="80", virtual_hosts=[_host(n) for n in range(100)]),
    }


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call, the mean over as many as fit the budget."""
    work()
    rounds, start = 0, time.process_time()
    while (spent := time.process_time() - start) < BUDGET:
        work()
        rounds += 1
    return spent / rounds


def main() -> None:
    """Print the table."""
    print(f"{'message':<30}{'bytes':>8}{'ours, us':>12}{'bytes(), us':>14}{'ratio':>8}")
    for name, message in cases().items():
        ours, theirs = seconds(partial(encode, message)), seconds(partial(bytes, message))
        print(f"{name:<30}{len(encode(message)):>8}{ours * 1e6:>12.1f}{theirs * 1e6:>14.1f}{theirs / ours:>8.1f}")


def _host(number: int) -> route_v3.VirtualHost:
    action = route_v3.RouteAction(cluster=f"outbound|80||service-{number}", retry_policy=_retry())
    route = route_v3.Route(match=route_v3.RouteMatch(prefix="/"), route=action)
    return route_v3.VirtualHost(name=f"service-{number}:80", domains=[f"service-{number}"], routes=[route])


def _retry() -> route_v3.RetryPolicy:
    return route_v3.RetryPolicy(retry_on="connect-failure,refused-stream", num_retries=2)


if __name__ == "__main__":
    main()
