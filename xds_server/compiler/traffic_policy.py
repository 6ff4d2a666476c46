"""What the sections of a traffic policy mean, with Istio's default for everything left out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xds_server.mesh.traffic import (
    UNLIMITED,
    ClientTls,
    ConnectionPool,
    H2Upgrade,
    HashCookie,
    HashKey,
    LoadBalancer,
    LoadBalancing,
    LocalityDistribute,
    LocalityLoadBalancing,
    OutlierDetection,
    RetryBudget,
    SlowStart,
    TcpKeepalive,
    TlsMode,
    TrafficPolicy,
    Tunnel,
    ZoneAware,
)
from xds_server.policy import destination_rule as policy
from xds_server.policy.mesh_config import MeshConfigSpec

_SIMPLE = {
    policy.SimpleLB.RANDOM: LoadBalancing.RANDOM,
    policy.SimpleLB.PASSTHROUGH: LoadBalancing.PASSTHROUGH,
    policy.SimpleLB.ROUND_ROBIN: LoadBalancing.ROUND_ROBIN,
}
"""Every other word is LEAST_REQUEST."""


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of a policy that are replaced whole when policies are laid over each other; None is not written."""

    load_balancer: policy.LoadBalancerSettings | None = None
    connection_pool: policy.ConnectionPoolSettings | None = None
    outlier_detection: policy.OutlierDetection | None = None
    tls: policy.ClientTLSSettings | None = None
    tunnel: policy.TunnelSettings | None = None
    proxy_protocol: policy.ProxyProtocol | None = None
    retry_budget: policy.RetryBudget | None = None

    @property
    def fails_over_in_vain(self) -> bool:
        """Whether it orders other localities without the outlier detection that alone sets failover in motion."""
        setting = self.load_balancer.locality_lb_setting if self.load_balancer else None
        if setting is None or setting.enabled is False or self.outlier_detection is not None:
            return False
        return bool(setting.failover or setting.failover_priority)


@dataclass(frozen=True, eq=False, slots=True)
class TrafficDefaults:
    """What holds where a policy says nothing: Istio's defaults, or a MeshConfig's. By identity.

    Attributes:
        base: whole sections for policies that leave them out.
        pool: for the parts of a connection pool that are left out.
        locality, zone_aware: for load balancers that say nothing of localities; None is switched off. Zones win.
        automatic_tls: mesh TLS to endpoints that take it, where no policy says otherwise.
    """

    base: Sections = Sections()
    pool: ConnectionPool = ConnectionPool()
    locality: LocalityLoadBalancing | None = LocalityLoadBalancing()
    zone_aware: ZoneAware | None = None
    automatic_tls: bool = True


ISTIO_TRAFFIC = TrafficDefaults()


def traffic_defaults(config: MeshConfigSpec) -> TrafficDefaults:
    """The defaults that a MeshConfig sets."""
    pool, default = ConnectionPool(), config.default_traffic_policy
    base = {name: getattr(default, name, None) for name in Sections.__dataclass_fields__} if default else {}
    return TrafficDefaults(
        base=Sections(**base),
        pool=replace(
            pool,
            connect_timeout=config.connect_timeout or pool.connect_timeout,
            tcp_keepalive=_tcp_keepalive(config.tcp_keepalive) if config.tcp_keepalive else None,
            h2_upgrade=H2Upgrade(config.h2_upgrade_policy) if config.h2_upgrade_policy else pool.h2_upgrade,
        ),
        locality=_locality(config.locality_lb_setting, LocalityLoadBalancing()),
        zone_aware=_zone_aware(config.zone_aware_lb_setting) if config.zone_aware_lb_setting else None,
        automatic_tls=config.enable_auto_mtls is not False,
    )


def traffic_policy(written: Sections, defaults: TrafficDefaults = ISTIO_TRAFFIC) -> TrafficPolicy:
    """The policy that these sections are."""
    base = defaults.base
    sections = replace(
        base, **{name: value for name in Sections.__dataclass_fields__ if (value := getattr(written, name)) is not None}
    )
    balancer = sections.load_balancer or policy.LoadBalancerSettings.model_construct()
    automatic = None if defaults.automatic_tls else ClientTls(TlsMode.DISABLE)
    outliers = sections.outlier_detection
    return TrafficPolicy(
        load_balancer=_load_balancer(balancer, defaults),
        connection_pool=connection_pool(sections.connection_pool, defaults.pool)
        if sections.connection_pool
        else defaults.pool,
        outlier_detection=_outlier_detection(outliers) if outliers else None,
        min_health_percent=outliers.min_health_percent if outliers else 0,
        tls=_tls(sections.tls) if sections.tls else automatic,
        retry_budget=_retry_budget(sections.retry_budget) if sections.retry_budget else None,
        proxy_protocol=str(sections.proxy_protocol.version) if sections.proxy_protocol else "",
    )


def tunnel(sections: Sections) -> Tunnel | None:
    """The HTTP proxy that connections go through, and where it is to connect to."""
    written = sections.tunnel
    return Tunnel(written.target_host, written.target_port, written.protocol == "POST") if written else None


def _load_balancer(written: policy.LoadBalancerSettings, defaults: TrafficDefaults) -> LoadBalancer:
    """Of localities the rule's zones come before its localities, and both before the mesh's (Istio's order)."""
    zones = defaults.zone_aware if written.locality_lb_setting is None else None
    if written.zone_aware_lb_setting is not None:
        zones = _zone_aware(written.zone_aware_lb_setting)
    zones_decide = zones is not None and zones.enabled
    return replace(
        _hashing(written.consistent_hash) if written.consistent_hash else _simple(written.simple),
        slow_start=_slow_start(written.warmup) if written.warmup else None,
        locality=None if zones_decide else _locality(written.locality_lb_setting, defaults.locality),
        zone_aware=zones,
    )


def _zone_aware(written: policy.ZoneAwareLoadBalancerSetting) -> ZoneAware:
    return ZoneAware(
        enabled=written.enabled is not False,
        failover=tuple((failover.from_, failover.to) for failover in written.failover),
        failover_priority=written.failover_priority,
        min_cluster_size=written.min_cluster_size,
    )


def _simple(written: policy.SimpleLB | None) -> LoadBalancer:
    return LoadBalancer(_SIMPLE.get(written, LoadBalancing.LEAST_REQUEST) if written else LoadBalancing.LEAST_REQUEST)


def _hashing(written: policy.ConsistentHashLB) -> LoadBalancer:
    key = _hash_key(written)
    if written.maglev is not None:
        return LoadBalancer(LoadBalancing.MAGLEV, key, table_size=written.maglev.table_size)
    ring_size = written.ring_hash.minimum_ring_size if written.ring_hash else 0
    return LoadBalancer(LoadBalancing.RING_HASH, key, ring_size=ring_size or None)


def _hash_key(written: policy.ConsistentHashLB) -> HashKey:
    cookie = written.http_cookie
    return HashKey(
        header=written.http_header_name or "",
        cookie=_cookie(cookie) if cookie else None,
        source_ip=bool(written.use_source_ip),
        query_parameter=written.http_query_parameter_name or "",
    )


def _cookie(written: policy.HTTPCookie) -> HashCookie:
    attributes = tuple((attribute.name, attribute.value) for attribute in written.attributes)
    return HashCookie(written.name, written.path, written.ttl, attributes)


def _slow_start(written: policy.WarmupConfiguration) -> SlowStart:
    given = {"minimum_percent": written.minimum_percent, "aggression": written.aggression}
    return SlowStart(written.duration, **{name: value for name, value in given.items() if value is not None})


def _locality(
    written: policy.LocalityLoadBalancerSetting | None, default: LocalityLoadBalancing | None
) -> LocalityLoadBalancing | None:
    """Istio's default switches it on; what it does without settings, translation decides by outlier detection."""
    if written is None:
        return default
    if written.enabled is False:
        return None
    return LocalityLoadBalancing(
        distribute=tuple(LocalityDistribute(d.from_, tuple(sorted(d.to.items()))) for d in written.distribute),
        failover=tuple((failover.from_, failover.to) for failover in written.failover),
        failover_priority=written.failover_priority,
    )


def connection_pool(
    written: policy.ConnectionPoolSettings, default: ConnectionPool = ConnectionPool()
) -> ConnectionPool:
    """The limits and settings of connections; what is left out is the mesh's default."""
    tcp = written.tcp or policy.TCPSettings()
    http = written.http or policy.HTTPSettings()
    keepalive = http.http2_keep_alive
    return ConnectionPool(
        max_connections=tcp.max_connections or UNLIMITED,
        connect_timeout=tcp.connect_timeout or default.connect_timeout,
        tcp_keepalive=_tcp_keepalive(tcp.tcp_keepalive) if tcp.tcp_keepalive else default.tcp_keepalive,
        max_connection_duration=tcp.max_connection_duration,
        tcp_idle_timeout=tcp.idle_timeout,
        max_pending_requests=http.http1_max_pending_requests or UNLIMITED,
        max_requests=http.http2_max_requests or UNLIMITED,
        max_retries=http.max_retries or UNLIMITED,
        max_requests_per_connection=http.max_requests_per_connection,
        http_idle_timeout=http.idle_timeout,
        max_concurrent_streams=http.max_concurrent_streams or None,
        h2_upgrade=_H2_UPGRADE.get(http.h2_upgrade_policy, default.h2_upgrade),
        use_client_protocol=http.use_client_protocol,
        http2_keepalive=(keepalive.interval, keepalive.timeout) if keepalive else None,
    )


_H2_UPGRADE = {
    policy.H2UpgradePolicy.UPGRADE: H2Upgrade.UPGRADE,
    policy.H2UpgradePolicy.DO_NOT_UPGRADE: H2Upgrade.DO_NOT_UPGRADE,
}
"""DEFAULT is the mesh's."""


def _tcp_keepalive(written: policy.TcpKeepalive) -> TcpKeepalive:
    return TcpKeepalive(written.probes or None, written.time, written.interval)


def _outlier_detection(written: policy.OutlierDetection) -> OutlierDetection:
    return OutlierDetection(
        consecutive_5xx=written.consecutive_5xx_errors,
        consecutive_gateway_errors=written.consecutive_gateway_errors,
        consecutive_local_origin_failures=written.consecutive_local_origin_failures,
        split_external_local_origin_errors=written.split_external_local_origin_errors,
        interval=written.interval,
        base_ejection_time=written.base_ejection_time,
        max_ejection_percent=written.max_ejection_percent or None,
        http_error_codes=tuple(str(code) for code in written.outlier_detection_http_error_codes),
    )


def _tls(written: policy.ClientTLSSettings) -> ClientTls:
    return ClientTls(
        mode=TlsMode(written.mode),
        sni=written.sni,
        subject_alt_names=written.subject_alt_names,
        credential_name=written.credential_name,
        client_certificate=written.client_certificate,
        private_key=written.private_key,
        ca_certificates=written.ca_certificates,
        ca_crl=written.ca_crl,
        insecure_skip_verify=bool(written.insecure_skip_verify),
    )


def _retry_budget(written: policy.RetryBudget) -> RetryBudget:
    default = RetryBudget()
    return RetryBudget(
        percent=default.percent if written.percent is None else written.percent,
        min_retry_concurrency=written.min_retry_concurrency or default.min_retry_concurrency,
        interval=written.budget_interval,
    )
