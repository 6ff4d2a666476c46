"""How traffic to one service is balanced, limited, ejected and secured: a DestinationRule with its defaults decided.

Every value here is a fact: what the author left out has become Istio's default (istio.io, DestinationRule).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property

from xds_server.mesh.credential import roots_name
from xds_server.mesh.service import Labels
from xds_server.problem import Origin

UNLIMITED = 2**32 - 1
"""Istio's limit for every connection pool that is not set."""


class LoadBalancing(enum.StrEnum):
    """DestinationRule.loadBalancer.simple, and the two consistent hashes."""

    LEAST_REQUEST = "LEAST_REQUEST"
    ROUND_ROBIN = "ROUND_ROBIN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    RING_HASH = "RING_HASH"
    MAGLEV = "MAGLEV"


@dataclass(frozen=True, slots=True)
class HashCookie:
    """Hash by a cookie; with a `ttl` Envoy makes the cookie when the request has none (0 s: session cookie)."""

    name: str
    path: str = ""
    ttl: timedelta | None = None
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HashKey:
    """What of a request is hashed; exactly one is set."""

    header: str = ""
    cookie: HashCookie | None = None
    source_ip: bool = False
    query_parameter: str = ""


@dataclass(frozen=True, slots=True)
class SlowStart:
    """DestinationRule.loadBalancer.warmup."""

    window: timedelta
    minimum_percent: float = 10.0
    aggression: float = 1.0


@dataclass(frozen=True, slots=True)
class LocalityDistribute:
    """From one locality ("region/zone/*" form as written), which localities take what percentage."""

    from_locality: str
    to: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class LocalityLoadBalancing:
    """DestinationRule localityLbSetting after mesh defaults; absent altogether when switched off.

    Attributes:
        distribute: explicit shares by locality; excludes the two below.
        failover: (from region, to region).
        failover_priority: label keys (or "key=value") whose matched prefix length makes the priority.
    """

    distribute: tuple[LocalityDistribute, ...] = ()
    failover: tuple[tuple[str, str], ...] = ()
    failover_priority: tuple[str, ...] = ()

    @property
    def caller_keys(self) -> tuple[str, ...]:
        """Keys of the labels in which endpoints are compared with the caller; a "key=value" asks nothing of it."""
        return tuple(key for key in self.failover_priority if "=" not in key)


@dataclass(frozen=True, slots=True)
class ZoneAware:
    """zoneAwareLbSetting after mesh defaults: requests stay in their zone as far as its share of the endpoints goes.

    Attributes:
        enabled: False is a setting too: it takes away what the mesh says.
        failover: (from region, to region): which region comes after the own.
        failover_priority: see `LocalityLoadBalancing`.
        min_cluster_size: endpoints below which zones make no difference; None is Envoy's 6.
    """

    enabled: bool = True
    failover: tuple[tuple[str, str], ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: int | None = None

    @property
    def caller_keys(self) -> tuple[str, ...]:
        """Keys of the labels in which endpoints are compared with the caller."""
        return tuple(key for key in self.failover_priority if "=" not in key)


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """How an endpoint is chosen. `ring_size` and `table_size` are None where Envoy's own default holds.

    Attributes:
        locality, zone_aware: one of the two at most.
    """

    policy: LoadBalancing = LoadBalancing.LEAST_REQUEST
    hash_key: HashKey | None = None
    ring_size: int | None = None
    table_size: int | None = None
    slow_start: SlowStart | None = None
    locality: LocalityLoadBalancing | None = LocalityLoadBalancing()
    zone_aware: ZoneAware | None = None


@dataclass(frozen=True, slots=True)
class TcpKeepalive:
    """TCP keepalive towards the endpoint; None leaves the system's value."""

    probes: int | None = None
    time: timedelta | None = None
    interval: timedelta | None = None


class H2Upgrade(enum.StrEnum):
    """connectionPool.http.h2UpgradePolicy after the mesh default."""

    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


@dataclass(frozen=True, slots=True)
class ConnectionPool:
    """Circuit breaker limits and connection settings. None is Envoy's default; 0 requests per connection no limit."""

    max_connections: int = UNLIMITED
    connect_timeout: timedelta = timedelta(seconds=10)
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: timedelta | None = None
    tcp_idle_timeout: timedelta | None = None
    max_pending_requests: int = UNLIMITED
    max_requests: int = UNLIMITED
    max_retries: int = UNLIMITED
    max_requests_per_connection: int = 0
    http_idle_timeout: timedelta | None = None
    max_concurrent_streams: int | None = None
    h2_upgrade: H2Upgrade = H2Upgrade.DO_NOT_UPGRADE
    use_client_protocol: bool = False
    http2_keepalive: tuple[timedelta, timedelta] | None = None
    """(interval, timeout)"""


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """When an endpoint is ejected. None leaves Envoy's default; a count of 0 switches that detector off."""

    consecutive_5xx: int | None = None
    consecutive_gateway_errors: int | None = None
    consecutive_local_origin_failures: int | None = None
    split_external_local_origin_errors: bool = False
    interval: timedelta | None = None
    base_ejection_time: timedelta | None = None
    max_ejection_percent: int | None = None
    http_error_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """DestinationRule retryBudget."""

    percent: float = 20.0
    min_retry_concurrency: int = 3
    interval: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Tunnel:
    """TCP that goes through an HTTP proxy: what the proxy is asked to connect to, and whether by POST."""

    host: str
    port: int
    post: bool = False


class TlsMode(enum.StrEnum):
    """DestinationRule tls.mode."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


@dataclass(frozen=True, slots=True)
class ClientTls:
    """DestinationRule tls."""

    mode: TlsMode
    sni: str = ""
    subject_alt_names: tuple[str, ...] = ()
    credential_name: str = ""
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    insecure_skip_verify: bool = False

    @property
    def credentials(self) -> frozenset[str]:
        """Names in the secrets directory that it needs: whom to believe and, for MUTUAL, what to show."""
        if not self.credential_name or self.mode not in {TlsMode.SIMPLE, TlsMode.MUTUAL}:
            return frozenset()
        roots = frozenset() if self.insecure_skip_verify else frozenset({roots_name(self.credential_name)})
        return roots | {self.credential_name} if self.mode is TlsMode.MUTUAL else roots


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """Everything about traffic to one port of one subset.

    Attributes:
        min_health_percent: Envoy's healthy_panic_threshold; 0 is no panic mode, Istio's default.
        outlier_detection: None is off.
        tls: None is automatic.
    """

    load_balancer: LoadBalancer = LoadBalancer()
    connection_pool: ConnectionPool = ConnectionPool()
    outlier_detection: OutlierDetection | None = None
    min_health_percent: int = 0
    tls: ClientTls | None = None
    retry_budget: RetryBudget | None = None
    proxy_protocol: str = ""
    """"", "V1" or "V2"."""


@dataclass(frozen=True, slots=True)
class PortPolicies:
    """The traffic policy of a service or subset, with its exceptions by port number, all fully resolved."""

    default: TrafficPolicy = TrafficPolicy()
    by_port: tuple[tuple[int, TrafficPolicy], ...] = ()

    def for_port(self, number: int) -> TrafficPolicy:
        """The policy in force on one port."""
        return dict(self.by_port).get(number, self.default) if self.by_port else self.default


@dataclass(frozen=True, slots=True)
class Subset:
    """A named part of a service: the endpoints that carry `labels`, with its own policies over the service's.

    A `tunnel` is its own alone, never the service's (Istio's rule).
    """

    name: str
    labels: Labels
    policies: PortPolicies
    tunnel: Tunnel | None = None


@dataclass(frozen=True, eq=False)
class TrafficRule:
    """All DestinationRules for one host, merged. Compared by identity."""

    policies: PortPolicies = PortPolicies()
    subsets: tuple[Subset, ...] = ()
    origins: tuple[Origin, ...] = ()
    tunnel: Tunnel | None = None
    _by_name: dict[str, Subset] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {subset.name: subset for subset in self.subsets})

    def tunnel_for(self, number: int, subset: str = "") -> Tunnel | None:
        """The tunnel for connections to one port of one subset; settings of a port take the service's away."""
        found = self._by_name.get(subset)
        if found is not None:
            return found.tunnel
        return None if number in dict(self.policies.by_port) else self.tunnel

    @cached_property
    def caller_keys(self) -> frozenset[str]:
        """Label keys of the caller that the order of endpoints depends on."""
        resolved = (self.policies, *(subset.policies for subset in self.subsets))
        policies = (policy for each in resolved for policy in (each.default, *(found for _, found in each.by_port)))
        balancers = [policy.load_balancer for policy in policies]
        settings = (*(each.locality for each in balancers), *(each.zone_aware for each in balancers))
        return frozenset(key for setting in settings if setting is not None for key in setting.caller_keys)

    def subset(self, name: str) -> Subset | None:
        """The subset of that name, None if no DestinationRule defines it."""
        return self._by_name.get(name)

    @property
    def credentials(self) -> frozenset[str]:
        """Names in the secrets directory that some policy needs."""
        levels = (self.policies, *(subset.policies for subset in self.subsets))
        policies = (policy for level in levels for policy in (level.default, *(found for _, found in level.by_port)))
        return frozenset().union(*(policy.tls.credentials for policy in policies if policy.tls))

    def policy_for(self, number: int, subset: str = "") -> TrafficPolicy:
        """The policy in force on one port of one subset; an unknown subset has the service's own."""
        found = self._by_name.get(subset)
        return (found.policies if found else self.policies).for_port(number)
