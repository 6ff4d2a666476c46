"""The resource types served here and their order, as one table, and which other orders there may be."""

from __future__ import annotations

from collections.abc import Sequence

PREFIX = "type.googleapis.com/"
CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = PREFIX + "envoy.config.route.v3.RouteConfiguration"
SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"

PUSH_ORDER = (CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET)
"""The order in which one change leaves on a stream (xDS spec, "Eventual consistency considerations"), by default."""

SHORT_NAMES = {CLUSTER: "CDS", ENDPOINT: "EDS", LISTENER: "LDS", ROUTE: "RDS", SECRET: "SDS"}
"""For prose, logs and metrics."""

_ALWAYS = ((CLUSTER, ENDPOINT),)
"""(earlier, later): Envoy warms a cluster for 15 s when its endpoints are not right behind it."""
_TO_DROP_NOTHING = ((CLUSTER, LISTENER), (CLUSTER, ROUTE), (ENDPOINT, LISTENER), (ENDPOINT, ROUTE), (LISTENER, ROUTE))
"""(earlier, later), in the words of the spec: LDS after CDS and EDS, RDS after all of them; SDS may be anywhere."""


def push_order(words: Sequence[str], *, gate: bool) -> tuple[str, ...]:
    """The types in the order of these short names.

    Args:
        words: each of `SHORT_NAMES` once.
        gate: whether no request may be dropped; without it whoever sets the order answers for it.

    Raises:
        ValueError: a type is missing, unknown or there twice, or one that refers comes before what it refers to.
    """
    urls = {short: url for url, short in SHORT_NAMES.items()}
    if sorted(words) != sorted(urls):
        raise ValueError(f"{','.join(words)} must name each of {', '.join(SHORT_NAMES.values())} once")
    order = tuple(urls[word] for word in words)
    for earlier, later in (*_ALWAYS, *(_TO_DROP_NOTHING if gate else ())):
        if order.index(later) < order.index(earlier):
            unless = ", unless there is no gate" if (earlier, later) in _TO_DROP_NOTHING else ""
            raise ValueError(f"{SHORT_NAMES[later]} must not come before {SHORT_NAMES[earlier]}{unless}")
    return order
