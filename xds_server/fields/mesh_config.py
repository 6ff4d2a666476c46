"""MeshConfig: field by field."""

from __future__ import annotations

from xds_server.fields.row import BLOCK, Rows, becomes, decides, without_effect
from xds_server.policy import mesh_config as m
from xds_server.policy.proxy_config import WITHOUT_LOG_SERVICE

_KUBERNETES = "there is no Kubernetes to read from"

MESH_CONFIG: Rows = {
    m.MeshConfigSpec: {
        "proxyListenPort": becomes("Listener.address", words="of `virtualOutbound`", default="15001"),
        "proxyInboundListenPort": becomes("Listener.address", words="of `virtualInbound`", default="15006"),
        "proxyHttpPort": becomes("Listener.address", words="of the HTTP proxy", default="none"),
        "connectTimeout": becomes("Cluster.connect_timeout", default="10 s"),
        "protocolDetectionTimeout": becomes("Listener.listener_filters_timeout", default="0 s: for ever"),
        "hboneIdleTimeout": without_effect("nothing speaks HBONE"),
        "trustDomain": decides("nothing: another than the server's is an error", "`--trust-domain`"),
        "trustDomainAliases": becomes(
            "CertificateValidationContext.match_typed_subject_alt_names", default="`--trust-domain-aliases`"
        ),
        "rootNamespace": decides("whose policies hold for the whole mesh", "`--root-namespace`"),
        "enableAutoMtls": becomes("Cluster.transport_socket_matches", default="true"),
        "outboundTrafficPolicy": BLOCK,
        "inboundTrafficPolicy": BLOCK,
        "localityLbSetting": becomes("LocalityLbEndpoints.priority", default="enabled"),
        "zoneAwareLbSetting": becomes("Cluster.CommonLbConfig.zone_aware_lb_config", default="off"),
        "defaultServiceExportTo": decides("exportTo where a ServiceEntry has none", "*"),
        "defaultVirtualServiceExportTo": decides("exportTo where a VirtualService has none", "*"),
        "defaultDestinationRuleExportTo": decides("exportTo where a DestinationRule has none", "*"),
        "dnsRefreshRate": becomes("DnsCluster.dns_refresh_rate", default="5 s"),
        "h2UpgradePolicy": becomes(
            "HttpProtocolOptions.ExplicitHttpConfig.http2_protocol_options", default="DO_NOT_UPGRADE"
        ),
        "tcpKeepalive": becomes("UpstreamConnectionOptions.tcp_keepalive", default="off"),
        "defaultHttpRetryPolicy": becomes("RouteAction.retry_policy", default="2 where it is safe"),
        "defaultInboundHttpRetryPolicy": becomes("RouteAction.retry_policy", default="2, reset-before-request"),
        "defaultTrafficPolicy": decides("the sections that a DestinationRule leaves out"),
        "pathNormalization": BLOCK,
        "inboundClusterStatName": becomes(
            "Cluster.alt_stat_name", "TcpProxy.stat_prefix", default="the cluster's name"
        ),
        "outboundClusterStatName": becomes(
            "Cluster.alt_stat_name", "TcpProxy.stat_prefix", default="the cluster's name"
        ),
        "accessLogFile": becomes("FileAccessLog.path", default="off"),
        "accessLogFormat": becomes("FileAccessLog.log_format", default="Istio's line or object"),
        "accessLogEncoding": becomes("SubstitutionFormatString.json_format", default="TEXT"),
        "enableEnvoyAccessLogService": without_effect(WITHOUT_LOG_SERVICE),
        "disableEnvoyListenerLog": becomes("Listener.access_log", default="false"),
        "enableTracing": decides("nothing by itself: a provider does, and a note says so"),
        "enablePrometheusMerge": without_effect("there is no agent to merge metrics"),
        "defaultProviders": BLOCK,
        "extensionProviders": BLOCK,
        "defaultConfig": BLOCK,
        "meshMTLS": becomes("CommonTlsContext.tls_params", words="of mesh TLS"),
        "tlsDefaults": becomes("CommonTlsContext.tls_params", words="of any other TLS"),
        "ca": without_effect("the server is its own authority"),
        "caCertificates": without_effect("whom the mesh believes never comes from a policy file"),
        "configSources": without_effect("policies come from the paths that the server is given"),
        "discoverySelectors": without_effect(_KUBERNETES),
        "serviceEntryVisibility": without_effect("it is for the ambient mesh: exportTo decides"),
        "serviceSettings": without_effect("there is one cluster"),
        "serviceScopeConfigs": without_effect("there is no ambient mesh"),
        "ingressClass": without_effect(_KUBERNETES),
        "ingressService": without_effect(_KUBERNETES),
        "ingressControllerMode": without_effect(_KUBERNETES),
        "ingressSelector": without_effect(_KUBERNETES),
        "certificates": without_effect(_KUBERNETES),
        "verifyCertificateAtClient": without_effect("Istio does not read it any more"),
    },
    m.MeshOutboundTrafficPolicy: {
        "mode": becomes("Listener.default_filter_chain", "VirtualHost.name", default="ALLOW_ANY"),
        "tls": without_effect("it is for mode ALLOW_ANY_DYNAMIC_DNS, which is refused"),
    },
    m.InboundTrafficPolicy: {
        "mode": becomes("Cluster.type", "Cluster.load_assignment", words="of `inbound|port||`"),
    },
    m.PathNormalization: {
        "normalization": becomes(
            "HttpConnectionManager.normalize_path",
            "HttpConnectionManager.merge_slashes",
            "HttpConnectionManager.path_with_escaped_slashes_action",
            default="BASE",
        ),
    },
    m.TLSConfig: {
        "minProtocolVersion": becomes("TlsParameters.tls_minimum_protocol_version", default="TLSV1_2"),
        "ecdhCurves": becomes("TlsParameters.ecdh_curves", words="in `tlsDefaults`", default="Envoy's"),
        "cipherSuites": becomes("TlsParameters.cipher_suites", default="six of Istio's for mesh TLS, else Envoy's"),
    },
    m.DefaultTrafficPolicy: {
        "connectionPool": decides("connectionPool where a DestinationRule has none"),
        "outlierDetection": decides("outlierDetection where a DestinationRule has none"),
    },
}
