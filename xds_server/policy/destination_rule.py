"""DestinationRule: what happens to traffic once its service is known (istio.io/v1 DestinationRule)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from xds_server.ip_address import is_ip_address
from xds_server.policy.model import Finding, PolicyEnum, PolicyModel
from xds_server.policy.values import (
    Bool,
    DnsLabel,
    Double,
    Duration,
    DurationOrZero,
    ExportTo,
    Host,
    Int,
    Labels,
    Long,
    PercentDouble,
    PercentInt,
    PortNumber,
    PortSelector,
    duplicates,
    is_host_name,
    only_one,
)

TOPOLOGY_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone")
_LARGEST_TABLE = 5_000_011  # Envoy's MAX_MAGLEV_TABLE_SIZE


class SimpleLB(PolicyEnum):
    """Istio's simple load balancers; LEAST_CONN is the old name of LEAST_REQUEST."""

    UNSPECIFIED = "UNSPECIFIED"
    LEAST_CONN = "LEAST_CONN"
    RANDOM = "RANDOM"
    PASSTHROUGH = "PASSTHROUGH"
    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"


class RingHash(PolicyModel):
    """Ketama ring; 0 is Envoy's own size."""

    minimum_ring_size: Long = 0


class MagLev(PolicyModel):
    """Maglev table."""

    table_size: Long = 0

    def mistakes(self) -> Iterable[Finding]:
        """Envoy takes primes below its limit only."""
        if not self.table_size:
            yield Finding("maglev needs a tableSize", "write tableSize: 65537")
        elif self.table_size >= _LARGEST_TABLE:
            yield Finding(f"must be less than {_LARGEST_TABLE}", "write 65537", at=("tableSize",))
        elif not _is_prime(self.table_size):
            yield Finding(f"{self.table_size} is not a prime number", "write 65537", at=("tableSize",))


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, int(number**0.5) + 1))


class CookieAttribute(PolicyModel):
    """One attribute of the cookie, such as SameSite."""

    name: Annotated[str, Field(min_length=1)]
    value: str = ""


class HTTPCookie(PolicyModel):
    """The cookie to hash; with a `ttl` Envoy makes it when a request has none."""

    name: Annotated[str, Field(min_length=1)]
    path: str = ""
    ttl: DurationOrZero | None = None
    attributes: tuple[CookieAttribute, ...] = ()

    def mistakes(self) -> Iterable[Finding]:
        """Attribute names are unique."""
        for index, name in duplicates(attribute.name for attribute in self.attributes):
            yield Finding(f"the attribute {name} is given twice", "keep one", at=("attributes", index, "name"))


class ConsistentHashLB(PolicyModel):
    """Requests with the same key go to the same endpoint. `minimum_ring_size` is ringHash's old form."""

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: Bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: MagLev | None = None
    minimum_ring_size: Long = 0

    def mistakes(self) -> Iterable[Finding]:
        """One key, one algorithm."""
        keys = ("http_header_name", "http_cookie", "use_source_ip", "http_query_parameter_name")
        yield from only_one(self, *keys)
        if not any(getattr(self, key) for key in keys):
            fix = "set httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName"
            yield Finding("does not say what to hash", fix)
        yield from only_one(self, "ring_hash", "maglev")
        if self.minimum_ring_size and (self.ring_hash or self.maglev):
            yield Finding("is set beside ringHash or maglev", "write it under ringHash", at=("minimumRingSize",))


class Distribute(PolicyModel):
    """From one locality, which localities take what percentage."""

    from_: str = ""
    to: dict[str, Annotated[Int, Field(ge=1, le=100)]] = Field(default_factory=dict)

    def mistakes(self) -> Iterable[Finding]:
        """The percentages are the whole."""
        if (total := sum(self.to.values())) != 100:
            yield Finding(f"the percentages add up to {total}", "make them 100", at=("to",))
        yield from _overlaps(list(self.to), ("to",))


def _overlaps(localities: Sequence[str], at: tuple[str | int, ...]) -> Iterable[Finding]:
    for index, locality in enumerate(localities):
        if "*" in locality.removesuffix("*") or (locality.endswith("*") and locality[-2:] not in {"*", "/*"}):
            yield Finding(f'"{locality}" has a * other than as its last part', 'write "region/zone/*"', at=at)
        for earlier in localities[:index]:
            if _contains(earlier, locality) or _contains(locality, earlier):
                yield Finding(f'"{locality}" and "{earlier}" overlap', "name each locality once", at=at)


def _contains(wide: str, narrow: str) -> bool:
    region = wide.removesuffix("*").removesuffix("/")
    return not region or narrow == region or narrow.startswith(region + "/")


class Failover(PolicyModel):
    """Which region takes over for which."""

    from_: str = ""
    to: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """Two different regions, without zones."""
        if self.from_ == self.to:
            yield Finding("a region cannot stand in for itself", "name another region", at=("to",))
        for name, region in (("from", self.from_), ("to", self.to)):
            if "/" in region or "*" in region:
                yield Finding(f'"{region}" is not a region', f"write {region.split('/')[0]}", at=(name,))


class LocalityLoadBalancerSetting(PolicyModel):
    """Prefer near endpoints, or share out by locality. `enabled` None is the mesh's."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: Bool | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Shares and failover exclude each other, and so do failover and topology priorities."""
        if self.distribute and self.failover:
            yield Finding("only one of distribute, failover may be set", "keep one of them", at=("failover",))
        if self.failover:
            yield from _topology_labels(self.failover_priority, "failover is set, which already orders the regions")
        yield from _overlaps([share.from_ for share in self.distribute], ("distribute",))


class ZoneAwareLoadBalancerSetting(PolicyModel):
    """Keep traffic in the zone it comes from, as far as capacity allows."""

    enabled: Bool | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    min_cluster_size: Annotated[Long, Field(ge=1)] | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Zones order themselves."""
        yield from _topology_labels(self.failover_priority, "region and zone are handled already")


def _topology_labels(priorities: Sequence[str], reason: str) -> Iterable[Finding]:
    for index, label in enumerate(priorities):
        if label in TOPOLOGY_LABELS:
            yield Finding(f"{label} cannot stand here: {reason}", "leave it out", at=("failoverPriority", index))


class WarmupConfiguration(PolicyModel):
    """New endpoints get their full share only after `duration`."""

    duration: Duration
    minimum_percent: PercentDouble | None = None
    aggression: Annotated[Double, Field(gt=0)] | None = None


class LoadBalancerSettings(PolicyModel):
    """How an endpoint is chosen. `warmup_duration_secs` is the old form of `warmup`."""

    simple: SimpleLB | None = None
    consistent_hash: ConsistentHashLB | None = None
    locality_lb_setting: LocalityLoadBalancerSetting | None = None
    zone_aware_lb_setting: ZoneAwareLoadBalancerSetting | None = None
    warmup_duration_secs: Duration | None = None
    warmup: WarmupConfiguration | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Proto's oneofs, and Istio's."""
        yield from only_one(self, "simple", "consistent_hash")
        yield from only_one(self, "locality_lb_setting", "zone_aware_lb_setting")
        yield from only_one(self, "warmup_duration_secs", "warmup")


class TcpKeepalive(PolicyModel):
    """TCP keepalive; what is left out is the system's."""

    probes: Int = 0
    time: Duration | None = None
    interval: Duration | None = None


class TCPSettings(PolicyModel):
    """Connections, for every protocol."""

    max_connections: Int = 0
    connect_timeout: Duration | None = None
    tcp_keepalive: TcpKeepalive | None = None
    max_connection_duration: Duration | None = None
    idle_timeout: DurationOrZero | None = None


class H2UpgradePolicy(PolicyEnum):
    """Whether HTTP/1.1 requests go upstream as HTTP/2."""

    DEFAULT = "DEFAULT"
    DO_NOT_UPGRADE = "DO_NOT_UPGRADE"
    UPGRADE = "UPGRADE"


class ConnectionKeepalive(PolicyModel):
    """HTTP/2 PING."""

    interval: Duration
    timeout: Duration


class HTTPSettings(PolicyModel):
    """Requests. 0 is unset everywhere: no limit, or Envoy's default."""

    http1_max_pending_requests: Int = 0
    http2_max_requests: Int = 0
    max_requests_per_connection: Int = 0
    max_retries: Int = 0
    idle_timeout: DurationOrZero | None = None
    h2_upgrade_policy: H2UpgradePolicy = H2UpgradePolicy.DEFAULT
    use_client_protocol: Bool = False
    max_concurrent_streams: Int = 0
    http2_keep_alive: ConnectionKeepalive | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Two ways to choose the protocol exclude each other."""
        if self.use_client_protocol and self.h2_upgrade_policy is H2UpgradePolicy.UPGRADE:
            message = "useClientProtocol cannot be true when h2UpgradePolicy is UPGRADE"
            yield Finding(message, "keep one of them", at=("useClientProtocol",))


class ConnectionPoolSettings(PolicyModel):
    """Limits of connections and requests."""

    tcp: TCPSettings | None = None
    http: HTTPSettings | None = None

    def mistakes(self) -> Iterable[Finding]:
        """An empty block replaces what would hold otherwise, which nobody means."""
        if self.tcp is None and self.http is None:
            yield Finding("limits nothing", "set tcp, http or both, or leave it out")


class OutlierDetection(PolicyModel):
    """When an endpoint is ejected. `consecutive_errors` is the old form of `consecutive_5xx_errors`."""

    consecutive_errors: Int = 0
    split_external_local_origin_errors: Bool = False
    consecutive_local_origin_failures: Int | None = None
    consecutive_gateway_errors: Int | None = None
    consecutive_5xx_errors: Int | None = None
    interval: Duration | None = None
    base_ejection_time: Duration | None = None
    max_ejection_percent: PercentInt = 0
    min_health_percent: PercentInt = 0
    outlier_detection_http_error_codes: tuple[Annotated[Int, Field(ge=100, le=599)], ...] = ()

    def mistakes(self) -> Iterable[Finding]:
        """Local failures are counted apart only when they are split off."""
        if self.consecutive_local_origin_failures and not self.split_external_local_origin_errors:
            fix = "set splitExternalLocalOriginErrors: true"
            message = "has no effect, splitExternalLocalOriginErrors is false"
            yield Finding(message, fix, at=("consecutiveLocalOriginFailures",))


class ClientTLSMode(PolicyEnum):
    """TLS towards the endpoints."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"


class ClientTLSSettings(PolicyModel):
    """TLS towards the endpoints. An empty block is DISABLE, as in proto."""

    mode: ClientTLSMode = ClientTLSMode.DISABLE
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: Bool | None = None
    ca_crl: str = ""

    def mistakes(self) -> Iterable[Finding]:
        """Certificates from one place only, and nothing verified that is not to be verified."""
        if self.mode not in {ClientTLSMode.SIMPLE, ClientTLSMode.MUTUAL}:
            return
        if self.insecure_skip_verify:
            yield from self._verified()
        if self.credential_name:
            for name in ("client_certificate", "private_key", "ca_certificates", "ca_crl"):
                if getattr(self, name):
                    spelled = str(type(self).model_fields[name].alias)
                    yield Finding("cannot be set beside credentialName", "keep one of them", at=(spelled,))
        elif self.mode is ClientTLSMode.MUTUAL:
            for spelled, path in (("clientCertificate", self.client_certificate), ("privateKey", self.private_key)):
                if not path:
                    yield Finding(f"mode MUTUAL needs a {spelled}", "name the file, or use credentialName")

    def _verified(self) -> Iterable[Finding]:
        checks: list[tuple[str, object]] = [
            ("caCertificates", self.ca_certificates),
            ("subjectAltNames", self.subject_alt_names),
        ]
        if self.mode is ClientTLSMode.SIMPLE:
            checks.append(("credentialName", self.credential_name))
        for name, value in checks:
            if value:
                yield Finding("has no effect with insecureSkipVerify", "remove insecureSkipVerify", at=(name,))


class PortTrafficPolicy(PolicyModel):
    """The policy of one port; it replaces the one around it."""

    port: PortSelector
    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None

    def mistakes(self) -> Iterable[Finding]:
        """A port without settings would drop those around it."""
        if not (self.load_balancer or self.connection_pool or self.outlier_detection or self.tls):
            yield Finding("says nothing about the port", "set loadBalancer, connectionPool, outlierDetection or tls")


class TunnelSettings(PolicyModel):
    """TCP through an HTTP proxy. `protocol` "" is CONNECT."""

    protocol: str = ""
    target_host: str
    target_port: PortNumber

    def mistakes(self) -> Iterable[Finding]:
        """Istio's."""
        if self.protocol not in {"", "CONNECT", "POST"}:
            yield Finding(f'"{self.protocol}" is not a tunnel', "write CONNECT or POST", at=("protocol",))
        if not is_host_name(self.target_host) and not is_ip_address(self.target_host):
            yield Finding(f'"{self.target_host}" is neither a host name nor an IP address', at=("targetHost",))


class ProxyProtocolVersion(PolicyEnum):
    """Version of HAProxy's PROXY protocol."""

    V1 = "V1"
    V2 = "V2"


class ProxyProtocol(PolicyModel):
    """Tell endpoints the client's address in a PROXY header."""

    version: ProxyProtocolVersion = ProxyProtocolVersion.V1


class RetryBudget(PolicyModel):
    """Retries as a share of the requests in flight. Left out: 20 %, 3."""

    percent: PercentDouble | None = None
    min_retry_concurrency: Int = 0
    budget_interval: DurationOrZero | None = None


class TrafficPolicy(PolicyModel):
    """Everything about traffic to a service or a subset."""

    load_balancer: LoadBalancerSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLSSettings | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()
    tunnel: TunnelSettings | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Not empty, and no two transports at once."""
        if not any(getattr(self, name) for name in type(self).model_fields):
            yield Finding("says nothing", "set loadBalancer, connectionPool, outlierDetection or tls, or leave it out")
        yield from only_one(self, "tunnel", "proxy_protocol")
        for index, port in duplicates(setting.port.number for setting in self.port_level_settings):
            at = ("portLevelSettings", index, "port", "number")
            yield Finding(f"port {port} has settings already", "join them", at=at)


class Subset(PolicyModel):
    """A named part of the service: the endpoints with these labels."""

    name: DnsLabel
    labels: Labels = Field(default_factory=dict)
    traffic_policy: TrafficPolicy | None = None


class TypedWorkloadSelector(PolicyModel):
    """istio.type.v1beta1.WorkloadSelector, which says matchLabels."""

    match_labels: Labels = Field(default_factory=dict)


class DestinationRuleSpec(PolicyModel):
    """The policy for one host."""

    host: Host
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: ExportTo = ()
    workload_selector: TypedWorkloadSelector | None = None

    def mistakes(self) -> Iterable[Finding]:
        """Subset names are unique; a rule for some workloads is their namespace's own."""
        for index, name in duplicates(subset.name for subset in self.subsets):
            yield Finding(f"the subset {name} is defined twice", "keep one", at=("subsets", index, "name"))
        if self.workload_selector is not None and set(self.export_to) - {"."}:
            fix = 'write exportTo: ["."], or leave it out'
            yield Finding("a rule with a workloadSelector is seen in its own namespace only", fix, at=("exportTo",))
