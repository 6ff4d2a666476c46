"""MeshConfig: field by field."""

from __future__ import annotations

from xds_server.fields.row import BLOCK, NOT_YET, Rows, becomes, decides, without_effect
from xds_server.policy import mesh_config as m

_KUBERNETES = "there is no Kubernetes to read from"

MESH_CONFIG: Rows = {
    m.MeshConfigSpec: {
        "proxyListenPort": NOT_YET,
        "proxyInboundListenPort": NOT_YET,
        "proxyHttpPort": becomes("Listener.address", words="of the HTTP proxy", default="none"),
        "connectTimeout": becomes("Cluster.connect_timeout", default="10 s"),
        "protocolDetectionTimeout": NOT_YET,
        "hboneIdleTimeout": without_effect("nothing speaks HBONE"),
        "trustDomain": decides("nothing: another than the server's is an error", "`--trust-domain`"),
        "trustDomainAliases": becomes(
            "CertificateValidationContext.match_typed_subject_alt_names", default="`--trust-domain-aliases`"
        ),
        "rootNamespace": decides("whose policies hold for the whole mesh", "`--root-namespace`"),
        "enableAutoMtls": becomes("Cluster.transport_socket_matches", default="true"),
        "outboundTrafficPolicy": BLOCK,
        "inboundTrafficPolicy": NOT_YET,
        "localityLbSetting": becomes("LocalityLbEndpoints.priority", default="enabled"),
        "zoneAwareLbSetting": NOT_YET,
        "defaultServiceExportTo": decides("exportTo where a ServiceEntry has none", "*"),
        "defaultVirtualServiceExportTo": decides("exportTo where a VirtualService has none", "*"),
        "defaultDestinationRuleExportTo": decides("exportTo where a DestinationRule has none", "*"),
        "dnsRefreshRate": NOT_YET,
        "h2UpgradePolicy": becomes(
            "HttpProtocolOptions.ExplicitHttpConfig.http2_protocol_options", default="DO_NOT_UPGRADE"
        ),
        "tcpKeepalive": becomes("UpstreamConnectionOptions.tcp_keepalive", default="off"),
        "defaultHttpRetryPolicy": becomes("RouteAction.retry_policy", default="2 where it is safe"),
        "defaultInboundHttpRetryPolicy": NOT_YET,
        "defaultTrafficPolicy": decides("the sections that a DestinationRule leaves out"),
        "pathNormalization": NOT_YET,
        "inboundClusterStatName": NOT_YET,
        "outboundClusterStatName": NOT_YET,
        "accessLogFile": NOT_YET,
        "accessLogFormat": NOT_YET,
        "accessLogEncoding": NOT_YET,
        "enableEnvoyAccessLogService": NOT_YET,
        "disableEnvoyListenerLog": NOT_YET,
        "enableTracing": NOT_YET,
        "enablePrometheusMerge": without_effect("there is no agent to merge metrics"),
        "defaultProviders": NOT_YET,
        "extensionProviders": NOT_YET,
        "defaultConfig": NOT_YET,
        "meshMTLS": NOT_YET,
        "tlsDefaults": NOT_YET,
        "ca": without_effect("the server is its own authority"),
        "caCertificates": NOT_YET,
        "configSources": without_effect("policies come from the paths that the server is given"),
        "discoverySelectors": without_effect(_KUBERNETES),
        "serviceEntryVisibility": NOT_YET,
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
        "egressProxy": NOT_YET,
        "tls": NOT_YET,
    },
    m.InboundTrafficPolicy: {"mode": NOT_YET},
    m.PathNormalization: {"normalization": NOT_YET},
}
