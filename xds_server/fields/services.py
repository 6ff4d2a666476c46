"""ServiceEntry, WorkloadEntry and WorkloadGroup: field by field."""

from __future__ import annotations

from xds_server.fields.row import BLOCK, Rows, becomes, decides, refused
from xds_server.policy import service_entry as s
from xds_server.policy import workload_group as g
from xds_server.policy.values import WorkloadSelector
from xds_server.policy.workload_entry import WorkloadEntrySpec

_CHECK = "HealthCheck"

SERVICES: Rows = {
    s.ServiceEntrySpec: {
        "hosts": becomes("Cluster.name", "VirtualHost.domains", words="a service each"),
        "addresses": becomes("Listener.address", "FilterChainMatch.prefix_ranges", "VirtualHost.domains"),
        "ports": becomes("Cluster.name", words="a cluster each"),
        "location": becomes("Cluster.metadata", words="and whether mesh TLS is spoken"),
        "resolution": becomes("Cluster.type", "Cluster.cluster_type", "Cluster.typed_dns_resolver_config"),
        "endpoints": becomes("Cluster.load_assignment", "ClusterLoadAssignment.endpoints"),
        "workloadSelector": BLOCK,
        "exportTo": decides("the namespaces whose proxies know it", "MeshConfig's"),
        "subjectAltNames": becomes("CertificateValidationContext.match_typed_subject_alt_names"),
    },
    s.ServicePort: {
        "number": becomes("Cluster.name", "Listener.address"),
        "protocol": becomes(
            "Cluster.typed_extension_protocol_options", "Listener.listener_filters", default="detected"
        ),
        "name": decides("the endpoints' ports of that name"),
        "targetPort": becomes(
            "SocketAddress.port_value", "Cluster.OriginalDstLbConfig.upstream_port_override", default="number"
        ),
    },
    WorkloadSelector: {"labels": decides("the workloads of the namespace", "all")},
    WorkloadEntrySpec: {
        "address": becomes("Endpoint.address", words="an IP address, a name or a unix socket"),
        "ports": becomes("SocketAddress.port_value", default="the service's targetPort"),
        "labels": decides("subsets, selectors, failoverPriority, and `LbEndpoint.metadata`"),
        "network": decides("that it may be without an address, and then gets nothing"),
        "locality": becomes("LocalityLbEndpoints.locality", "LocalityLbEndpoints.priority"),
        "weight": becomes("LbEndpoint.load_balancing_weight", default="1"),
        "serviceAccount": becomes(
            "LbEndpoint.metadata", "CertificateValidationContext.match_typed_subject_alt_names", default="plain"
        ),
    },
    g.WorkloadGroupSpec: {
        "metadata": BLOCK,
        "template": BLOCK,
        "probe": becomes("Cluster.health_checks", default="none"),
    },
    g.ObjectMeta: {
        "labels": decides("the labels of what registers itself"),
        "annotations": decides("the annotations of what registers itself"),
    },
    g.ReadinessProbe: {
        "initialDelaySeconds": decides("nothing: an endpoint is used from its first success on"),
        "timeoutSeconds": becomes(f"{_CHECK}.timeout", default="1"),
        "periodSeconds": becomes(f"{_CHECK}.interval", f"{_CHECK}.no_traffic_interval", default="10"),
        "successThreshold": becomes(f"{_CHECK}.healthy_threshold", default="1"),
        "failureThreshold": becomes(f"{_CHECK}.unhealthy_threshold", default="3"),
        "httpGet": becomes(f"{_CHECK}.http_health_check"),
        "tcpSocket": becomes(f"{_CHECK}.tcp_health_check"),
        "exec": refused("no Envoy runs commands"),
        "grpc": becomes(f"{_CHECK}.grpc_health_check"),
    },
    g.HTTPHealthCheckConfig: {
        "path": becomes(f"{_CHECK}.HttpHealthCheck.path", default="/"),
        "port": becomes("Endpoint.HealthCheckConfig.port_value"),
        "host": becomes(f"{_CHECK}.HttpHealthCheck.host", default="the service's"),
        "scheme": decides("HTTPS is asked for a connection only", "HTTP"),
        "httpHeaders": becomes(f"{_CHECK}.HttpHealthCheck.request_headers_to_add"),
    },
    g.HTTPHeader: {"name": becomes("HeaderValue.key"), "value": becomes("HeaderValue.value")},
    g.TCPHealthCheckConfig: {
        "host": decides("nothing: the endpoint itself is asked"),
        "port": becomes("Endpoint.HealthCheckConfig.port_value"),
    },
    g.ExecHealthCheckConfig: {"command": refused("no Envoy runs commands")},
    g.GrpcHealthCheckConfig: {
        "port": becomes("Endpoint.HealthCheckConfig.port_value"),
        "service": becomes(f"{_CHECK}.GrpcHealthCheck.service_name"),
    },
}
