"""DestinationRule: field by field."""

from __future__ import annotations

from xds_server.fields.row import BLOCK, Rows, becomes, decides
from xds_server.policy import destination_rule as d

_LIMITS = "CircuitBreakers.Thresholds"
_NONE = "no limit"

DESTINATION_RULE: Rows = {
    d.DestinationRuleSpec: {
        "host": decides("the services whose clusters it is for"),
        "trafficPolicy": BLOCK,
        "subsets": becomes("Cluster.name", words="a cluster each, `outbound|port|subset|host`"),
        "exportTo": decides("the namespaces whose proxies obey it", "MeshConfig's"),
        "workloadSelector": BLOCK,
    },
    d.TypedWorkloadSelector: {"matchLabels": decides("the proxies that obey it, before any other rule", "all")},
    d.Subset: {
        "name": becomes("Cluster.name"),
        "labels": becomes("ClusterLoadAssignment.endpoints", words="those that carry them", default="all"),
        "trafficPolicy": BLOCK,
    },
    d.TrafficPolicy: {
        "loadBalancer": BLOCK,
        "connectionPool": BLOCK,
        "outlierDetection": becomes("Cluster.outlier_detection", default="off"),
        "tls": becomes("Cluster.transport_socket", default="mesh TLS where the endpoint takes it"),
        "portLevelSettings": decides("the policy of one port, whole"),
        "tunnel": becomes("TcpProxy.tunneling_config"),
        "proxyProtocol": becomes("ProxyProtocolUpstreamTransport.config"),
        "retryBudget": becomes(f"{_LIMITS}.retry_budget"),
    },
    d.PortTrafficPolicy: {
        "port": decides("the port"),
        "loadBalancer": BLOCK,
        "connectionPool": BLOCK,
        "outlierDetection": BLOCK,
        "tls": BLOCK,
    },
    d.LoadBalancerSettings: {
        "simple": becomes("Cluster.lb_policy", "Cluster.type", default="LEAST_REQUEST"),
        "consistentHash": becomes("Cluster.lb_policy", "RouteAction.hash_policy"),
        "localityLbSetting": BLOCK,
        "zoneAwareLbSetting": BLOCK,
        "warmupDurationSecs": becomes("Cluster.SlowStartConfig.slow_start_window"),
        "warmup": becomes(
            "Cluster.LeastRequestLbConfig.slow_start_config", "Cluster.RoundRobinLbConfig.slow_start_config"
        ),
    },
    d.ConsistentHashLB: {
        "httpHeaderName": becomes("RouteAction.HashPolicy.Header.header_name"),
        "httpCookie": becomes("RouteAction.HashPolicy.cookie"),
        "useSourceIp": becomes("RouteAction.HashPolicy.ConnectionProperties.source_ip", "HashPolicy.source_ip"),
        "httpQueryParameterName": becomes("RouteAction.HashPolicy.QueryParameter.name"),
        "ringHash": becomes("Cluster.ring_hash_lb_config"),
        "maglev": becomes("Cluster.maglev_lb_config"),
        "minimumRingSize": becomes("Cluster.RingHashLbConfig.minimum_ring_size", default="1024"),
    },
    d.HTTPCookie: {
        "name": becomes("RouteAction.HashPolicy.Cookie.name"),
        "path": becomes("RouteAction.HashPolicy.Cookie.path"),
        "ttl": becomes("RouteAction.HashPolicy.Cookie.ttl", default="none: Envoy makes no cookie"),
        "attributes": becomes("RouteAction.HashPolicy.Cookie.attributes"),
    },
    d.CookieAttribute: {
        "name": becomes("RouteAction.HashPolicy.CookieAttribute.name"),
        "value": becomes("RouteAction.HashPolicy.CookieAttribute.value"),
    },
    d.RingHash: {"minimumRingSize": becomes("Cluster.RingHashLbConfig.minimum_ring_size", default="1024")},
    d.MagLev: {"tableSize": becomes("Cluster.MaglevLbConfig.table_size")},
    d.LocalityLoadBalancerSetting: {
        "distribute": becomes(
            "LocalityLbEndpoints.load_balancing_weight", "Cluster.CommonLbConfig.locality_weighted_lb_config"
        ),
        "failover": becomes("LocalityLbEndpoints.priority", words="with outlierDetection"),
        "failoverPriority": becomes("LocalityLbEndpoints.priority", words="with outlierDetection"),
        "enabled": decides("whether any of it acts", "true"),
    },
    d.Distribute: {
        "from": decides("the callers that it is for"),
        "to": becomes("LocalityLbEndpoints.load_balancing_weight"),
    },
    d.Failover: {
        "from": decides("the callers that it is for"),
        "to": becomes("LocalityLbEndpoints.priority"),
    },
    d.ZoneAwareLoadBalancerSetting: {
        "enabled": becomes("Cluster.CommonLbConfig.ZoneAwareLbConfig.routing_enabled", default="true"),
        "failover": becomes("LocalityLbEndpoints.priority", words="of other regions"),
        "failoverPriority": becomes("LocalityLbEndpoints.priority", words="of other regions"),
        "minClusterSize": becomes("Cluster.CommonLbConfig.ZoneAwareLbConfig.min_cluster_size", default="6"),
    },
    d.WarmupConfiguration: {
        "duration": becomes("Cluster.SlowStartConfig.slow_start_window"),
        "minimumPercent": becomes("Cluster.SlowStartConfig.min_weight_percent", default="10"),
        "aggression": becomes("Cluster.SlowStartConfig.aggression", default="1"),
    },
    d.ConnectionPoolSettings: {"tcp": BLOCK, "http": BLOCK},
    d.TCPSettings: {
        "maxConnections": becomes(f"{_LIMITS}.max_connections", default=_NONE),
        "connectTimeout": becomes("Cluster.connect_timeout", default="10 s"),
        "tcpKeepalive": becomes("UpstreamConnectionOptions.tcp_keepalive", default="off"),
        "maxConnectionDuration": becomes(
            "TcpProxy.max_downstream_connection_duration", "HttpProtocolOptions.max_connection_duration", default=_NONE
        ),
        "idleTimeout": becomes("TcpProxy.idle_timeout", "HttpProtocolOptions.idle_timeout", default="1 h"),
    },
    d.TcpKeepalive: {
        "probes": becomes("TcpKeepalive.keepalive_probes", default="the system's"),
        "time": becomes("TcpKeepalive.keepalive_time", default="the system's"),
        "interval": becomes("TcpKeepalive.keepalive_interval", default="the system's"),
    },
    d.HTTPSettings: {
        "http1MaxPendingRequests": becomes(f"{_LIMITS}.max_pending_requests", default=_NONE),
        "http2MaxRequests": becomes(f"{_LIMITS}.max_requests", default=_NONE),
        "maxRequestsPerConnection": becomes("HttpProtocolOptions.max_requests_per_connection", default=_NONE),
        "maxRetries": becomes(f"{_LIMITS}.max_retries", default=_NONE),
        "idleTimeout": becomes("HttpProtocolOptions.idle_timeout", default="1 h"),
        "h2UpgradePolicy": becomes(
            "HttpProtocolOptions.ExplicitHttpConfig.http2_protocol_options", default="MeshConfig's: DO_NOT_UPGRADE"
        ),
        "useClientProtocol": becomes("HttpProtocolOptions.use_downstream_protocol_config"),
        "maxConcurrentStreams": becomes("Http2ProtocolOptions.max_concurrent_streams", default=_NONE),
        "http2KeepAlive": becomes("Http2ProtocolOptions.connection_keepalive", default="off"),
    },
    d.ConnectionKeepalive: {
        "interval": becomes("KeepaliveSettings.interval"),
        "timeout": becomes("KeepaliveSettings.timeout"),
    },
    d.OutlierDetection: {
        "consecutiveErrors": becomes("OutlierDetection.consecutive_5xx"),
        "splitExternalLocalOriginErrors": becomes("OutlierDetection.split_external_local_origin_errors"),
        "consecutiveLocalOriginFailures": becomes(
            "OutlierDetection.consecutive_local_origin_failure",
            "OutlierDetection.enforcing_consecutive_local_origin_failure",
            default="5",
        ),
        "consecutiveGatewayErrors": becomes(
            "OutlierDetection.consecutive_gateway_failure",
            "OutlierDetection.enforcing_consecutive_gateway_failure",
            default="off",
        ),
        "consecutive5xxErrors": becomes(
            "OutlierDetection.consecutive_5xx", "OutlierDetection.enforcing_consecutive_5xx", default="5"
        ),
        "interval": becomes("OutlierDetection.interval", default="10 s"),
        "baseEjectionTime": becomes("OutlierDetection.base_ejection_time", default="30 s"),
        "maxEjectionPercent": becomes("OutlierDetection.max_ejection_percent", default="10"),
        "minHealthPercent": becomes("Cluster.CommonLbConfig.healthy_panic_threshold"),
        "outlierDetectionHttpErrorCodes": becomes("HttpProtocolOptions.OutlierDetection.error_matcher", default="5xx"),
    },
    d.ClientTLSSettings: {
        "mode": becomes("TransportSocket.typed_config"),
        "clientCertificate": becomes("TlsCertificate.certificate_chain", words="a file of the proxy"),
        "privateKey": becomes("TlsCertificate.private_key", words="a file of the proxy"),
        "caCertificates": becomes("CertificateValidationContext.trusted_ca", default="the system's"),
        "credentialName": becomes(
            "CommonTlsContext.tls_certificate_sds_secret_configs",
            "CommonTlsContext.combined_validation_context",
            words="`kubernetes://name`, for routers, and for sidecars that a workloadSelector selects",
        ),
        "subjectAltNames": becomes(
            "CertificateValidationContext.match_typed_subject_alt_names", default="the ServiceEntry's"
        ),
        "sni": becomes("UpstreamTlsContext.sni", "UpstreamHttpProtocolOptions.auto_sni", default="the request's host"),
        "insecureSkipVerify": becomes(
            "CommonTlsContext.combined_validation_context", "UpstreamHttpProtocolOptions.auto_san_validation"
        ),
        "caCrl": becomes("CertificateValidationContext.crl"),
    },
    d.TunnelSettings: {
        "protocol": becomes("TcpProxy.TunnelingConfig.use_post", default="CONNECT"),
        "targetHost": becomes("TcpProxy.TunnelingConfig.hostname"),
        "targetPort": becomes("TcpProxy.TunnelingConfig.hostname"),
    },
    d.ProxyProtocol: {"version": becomes("ProxyProtocolConfig.version")},
    d.RetryBudget: {
        "percent": becomes(f"{_LIMITS}.RetryBudget.budget_percent", default="20"),
        "minRetryConcurrency": becomes(f"{_LIMITS}.RetryBudget.min_retry_concurrency", default="3"),
        "budgetInterval": becomes(f"{_LIMITS}.RetryBudget.budget_interval"),
    },
}
