"""The empty resource that stands for a missing name."""

from __future__ import annotations

import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from xds_server.xds import type_url
from xds_server.xds.absent import absent

NAMES = ["a", "outbound|9080||reviews.default.svc.cluster.local", "é" * 100, "n" * 20_000]


@pytest.mark.parametrize("name", NAMES, ids=len)
def test_bytes_are_those_of_protobuf(name: str) -> None:
    """The encoding is ours; the runtime's is the oracle."""
    endpoints, routes = absent(type_url.ENDPOINT, name), absent(type_url.ROUTE, name)

    assert endpoints is not None
    assert endpoints.body == ClusterLoadAssignment(cluster_name=name).SerializeToString(deterministic=True)
    assert routes is not None
    assert routes.body == RouteConfiguration(name=name).SerializeToString(deterministic=True)


@pytest.mark.parametrize("url", [type_url.CLUSTER, type_url.LISTENER, type_url.SECRET])
def test_types_that_can_do_without_have_none(url: str) -> None:
    """Their absence is a removal."""
    assert absent(url, "a") is None
