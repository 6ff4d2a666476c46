"""What clusters, and the TCP connections to them, are called in statistics where MeshConfig has a pattern for it.

Source: Istio, MeshConfig inboundClusterStatName and outboundClusterStatName.
"""

from __future__ import annotations

from collections.abc import Mapping

from xds_server.mesh.service import Port, Service
from xds_server.mesh.view import InboundPort
from xds_server.translate import names


def outbound_stat_name(pattern: str, service: Service, port: Port, subset: str) -> str:
    """Of the cluster for one port of one subset; without a pattern its own name."""
    if not pattern:
        return names.outbound_cluster(port.number, subset, service.host)
    values = {"%SUBSET_NAME%": subset, "%TARGET_PORT%": str(port.target_port or port.number)}
    return _filled(pattern, values | _of_service(service.host, port.number, port.name))


def inbound_stat_name(pattern: str, port: InboundPort) -> str:
    """Of the cluster towards the application; without a pattern, or a service, its own name."""
    if not pattern or not port.service_host:
        return names.inbound_cluster(port.number)
    values = {"%SUBSET_NAME%": "", "%TARGET_PORT%": str(port.number)}
    return _filled(pattern, values | _of_service(port.service_host, port.service_port, port.port_name))


def _of_service(host: str, port: int, port_name: str) -> dict[str, str]:
    """Istio's short name of a service is `name.namespace`, where its host has the form of Kubernetes'."""
    name, _, rest = host.partition(".")
    namespace, _, domain = rest.partition(".")
    in_cluster = domain == "svc" or domain.startswith("svc.")
    return {
        "%SERVICE%": f"{name}.{namespace}" if in_cluster else host,
        "%SERVICE_NAME%": name if in_cluster else host,
        "%SERVICE_FQDN%": host,
        "%SERVICE_PORT%": str(port),
        "%SERVICE_PORT_NAME%": port_name,
    }


def _filled(pattern: str, values: Mapping[str, str]) -> str:
    for variable, value in values.items():
        pattern = pattern.replace(variable, value)
    return pattern
