"""The resource types served here and their order, as one table."""

from __future__ import annotations

PREFIX = "type.googleapis.com/"
CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = PREFIX + "envoy.config.route.v3.RouteConfiguration"
SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"

PUSH_ORDER = (CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET)
"""The order in which one change leaves on a stream (xDS spec, "Eventual consistency considerations")."""

SHORT_NAMES = {CLUSTER: "CDS", ENDPOINT: "EDS", LISTENER: "LDS", ROUTE: "RDS", SECRET: "SDS"}
"""For prose, logs and metrics."""
