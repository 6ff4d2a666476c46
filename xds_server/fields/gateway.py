"""Gateway and Sidecar: field by field."""

from __future__ import annotations

from xds_server.fields.row import BLOCK, Rows, becomes, decides, refused, without_effect
from xds_server.policy import gateway as g
from xds_server.policy import server_tls as t
from xds_server.policy import sidecar as s

GATEWAY: Rows = {
    g.GatewaySpec: {
        "servers": becomes("Listener.filter_chains", words="a listener for each address and port"),
        "selector": decides("the routers, by their labels", "every router"),
    },
    g.Server: {
        "port": BLOCK,
        "bind": becomes("Listener.address", default="every address"),
        "hosts": becomes("FilterChainMatch.server_names", "VirtualHost.domains"),
        "tls": becomes("FilterChain.transport_socket"),
        "defaultEndpoint": without_effect("Istio does not implement it"),
        "name": becomes("HttpConnectionManager.stat_prefix", default="outbound_BIND_PORT;"),
    },
    g.ServerPort: {
        "number": becomes("Listener.address", words="or the target port of the router's own service"),
        "protocol": becomes("FilterChain.filters"),
        "name": becomes("Rds.route_config_name", words="of HTTPS"),
        "targetPort": refused("does nothing in Istio"),
    },
    t.ServerTLSSettings: {
        "httpsRedirect": becomes("VirtualHost.require_tls"),
        "mode": becomes(
            "FilterChain.transport_socket",
            "DownstreamTlsContext.require_client_certificate",
            "FilterChainMatch.application_protocols",
        ),
        "serverCertificate": becomes("TlsCertificate.certificate_chain", words="a file of the proxy"),
        "privateKey": becomes("TlsCertificate.private_key", words="a file of the proxy"),
        "caCertificates": becomes("CertificateValidationContext.trusted_ca", words="a file of the proxy"),
        "caCrl": becomes("CertificateValidationContext.crl"),
        "credentialName": becomes(
            "CommonTlsContext.tls_certificate_sds_secret_configs",
            "CommonTlsContext.combined_validation_context",
            words="`kubernetes://name`",
        ),
        "credentialNames": becomes("CommonTlsContext.tls_certificate_sds_secret_configs"),
        "caCertCredentialName": becomes("CommonTlsContext.combined_validation_context"),
        "tlsCertificates": becomes("CommonTlsContext.tls_certificate_sds_secret_configs"),
        "subjectAltNames": becomes("CertificateValidationContext.match_typed_subject_alt_names"),
        "verifyCertificateSpki": becomes("CertificateValidationContext.verify_certificate_spki"),
        "verifyCertificateHash": becomes("CertificateValidationContext.verify_certificate_hash"),
        "minProtocolVersion": becomes("TlsParameters.tls_minimum_protocol_version", default="TLSV1_2"),
        "maxProtocolVersion": becomes("TlsParameters.tls_maximum_protocol_version", default="TLSV1_3"),
        "cipherSuites": becomes("TlsParameters.cipher_suites", default="Envoy's"),
        "ecdhCurves": becomes("TlsParameters.ecdh_curves", default="Envoy's"),
        "insecureSkipVerify": becomes("CertificateValidationContext.trust_chain_verification"),
    },
    t.TLSCertificate: {
        "serverCertificate": becomes("TlsCertificate.certificate_chain"),
        "privateKey": becomes("TlsCertificate.private_key"),
        "caCertificates": becomes("CertificateValidationContext.trusted_ca"),
    },
}

SIDECAR: Rows = {
    s.SidecarSpec: {
        "workloadSelector": BLOCK,
        "ingress": becomes("Listener.filter_chains", default="the ports of the workload's services"),
        "egress": becomes(
            "Listener.name", words="and which clusters and hosts there are", default="all that is exported"
        ),
        "inboundConnectionPool": becomes("Cluster.circuit_breakers", words="of `inbound|port||`"),
        "outboundTrafficPolicy": BLOCK,
    },
    s.IstioIngressListener: {
        "port": BLOCK,
        "bind": becomes("Listener.address", words="where the proxy binds the port itself"),
        "captureMode": becomes("Listener.bind_to_port", default="as the proxy captures"),
        "defaultEndpoint": becomes("Cluster.load_assignment", default="where it was addressed"),
        "tls": becomes("FilterChain.transport_socket", words="where PeerAuthentication says DISABLE"),
        "connectionPool": becomes("Cluster.circuit_breakers", default="inboundConnectionPool"),
    },
    s.SidecarPort: {
        "number": becomes("FilterChainMatch.destination_port", "Listener.address"),
        "protocol": becomes("FilterChain.filters", default="detected"),
        "name": decides("nothing but what people call it"),
        "targetPort": refused("does nothing in a Sidecar"),
    },
    s.IstioEgressListener: {
        "port": becomes("Listener.address", default="every port"),
        "bind": becomes(
            "Listener.address", "Pipe.path", default="every address, or loopback where nothing is captured"
        ),
        "captureMode": becomes("Listener.bind_to_port", default="as the proxy captures"),
        "hosts": becomes("Cluster.name", "VirtualHost.domains", words="which there are"),
    },
    s.OutboundTrafficPolicy: {
        "mode": becomes("Listener.default_filter_chain", "VirtualHost.name", default="MeshConfig's"),
        "egressProxy": becomes("RouteAction.cluster", "TcpProxy.cluster"),
    },
}
