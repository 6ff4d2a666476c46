"""What Sidecars mean: what the proxies that they select take in, and what they may see."""

from __future__ import annotations

from typing import cast

from xds_server.compiler.finding import Outcome, Place
from xds_server.compiler.workload_entry import sorted_labels
from xds_server.mesh.service import Port, Protocol
from xds_server.mesh.sidecar import IngressListener, OutboundPolicy, Sidecar
from xds_server.policy.document import Document
from xds_server.policy.sidecar import IstioIngressListener, SidecarSpec


def sidecar(document: Document) -> Outcome[Sidecar]:
    """What one document says of the proxies that it selects."""
    spec = cast("SidecarSpec", document.spec)
    written = spec.outbound_traffic_policy
    hosts = [host for listener in spec.egress for host in listener.hosts]
    found = Sidecar(
        namespace=document.namespace,
        selector=sorted_labels(spec.workload_selector.labels) if spec.workload_selector else (),
        ingress=tuple(_ingress(listener) for listener in spec.ingress) if spec.ingress else None,
        egress_hosts=tuple(dict.fromkeys(_egress_host(host) for host in hosts)) if spec.egress else None,
        outbound_policy=OutboundPolicy(written.mode) if written else None,
        origin=document.origin,
    )
    if written is None or "mode" in written.model_fields_set:
        return Outcome(found)
    message = "outboundTrafficPolicy without mode is REGISTRY_ONLY: unknown destinations are refused"
    place = Place(document).at("outboundTrafficPolicy")
    return Outcome(found, (place.warning("mode-left-out", message, "write the mode that you mean"),))


def _ingress(written: IstioIngressListener) -> IngressListener:
    port = written.port
    return IngressListener(
        port=Port(port.number, port.name or "", Protocol(port.protocol)),
        bind=written.bind or "",
        default_endpoint=written.default_endpoint,
    )


def _egress_host(text: str) -> tuple[str, str]:
    namespace, _, host = text.partition("/")
    return namespace, host
