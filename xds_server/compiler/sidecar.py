"""What Sidecars mean: what the proxies that they select take in, and what they may see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from xds_server.compiler.finding import Outcome, Place, nearest
from xds_server.compiler.server_tls import idle_tls, server_tls
from xds_server.compiler.traffic_policy import connection_pool
from xds_server.compiler.workload_entry import sorted_labels
from xds_server.mesh.egress import EgressListener
from xds_server.mesh.mesh import Scope
from xds_server.mesh.security import MutualTls, PeerPolicies
from xds_server.mesh.service import Port, Protocol
from xds_server.mesh.sidecar import IngressListener, OutboundPolicy, Sidecar
from xds_server.policy.document import Document
from xds_server.policy.server_tls import ServerTLSMode
from xds_server.policy.sidecar import (
    CaptureMode,
    IstioEgressListener,
    IstioIngressListener,
    OutboundTrafficPolicy,
    SidecarSpec,
)
from xds_server.policy.virtual_service import Destination
from xds_server.problem import Problem


def sidecar(document: Document) -> Outcome[Sidecar]:
    """What one document says of the proxies that it selects."""
    spec = cast("SidecarSpec", document.spec)
    written = spec.outbound_traffic_policy
    found = Sidecar(
        namespace=document.namespace,
        selector=sorted_labels(spec.workload_selector.labels) if spec.workload_selector else (),
        ingress=tuple(_ingress(listener) for listener in spec.ingress) if spec.ingress else None,
        egress=tuple(_egress(listener) for listener in spec.egress) if spec.egress else None,
        egress_proxy=_egress_proxy(written.egress_proxy) if written and written.egress_proxy else None,
        outbound_policy=OutboundPolicy(written.mode) if written else None,
        inbound_pool=connection_pool(spec.inbound_connection_pool) if spec.inbound_connection_pool else None,
        origin=document.origin,
    )
    idle = (
        problem
        for index, listener in enumerate(spec.ingress)
        if listener.tls
        for problem in idle_tls(listener.tls, Place(document).at("ingress", index, "tls"))
    )
    return Outcome(found, (*_mode_left_out(document, written), *idle))


def lost_egress_proxy(document: Document, found: Sidecar, scope: Scope) -> tuple[Problem, ...]:
    """What to say of an egressProxy that no service of `scope` is: nothing passes it then."""
    if found.egress_proxy is None:
        return ()
    host, port, _ = found.egress_proxy
    backend = scope.backends.get(host)
    if backend is not None and port in backend.service.port_by_number:
        return ()
    place = Place(document).at("outboundTrafficPolicy", "egressProxy")
    message = f"no service is called {host} and has port {port}: traffic for unknown destinations is refused"
    return (
        place.warning("unknown-egress-proxy", message, nearest(host, sorted(scope.backends), "a ServiceEntry for")),
    )


def covered_tls(document: Document, found: Sidecar, peers: PeerPolicies) -> Iterator[Problem]:
    """What to say of TLS on a port that takes mesh TLS: two kinds of it cannot be told apart."""
    for index, listener in enumerate(found.ingress or ()):
        mode = peers.mode(found.namespace, found.selector, listener.port.number)
        if listener.tls is not None and mode is not MutualTls.DISABLE:
            message = f"the port takes mesh TLS (PeerAuthentication {mode.name}), and so no other: this is not obeyed"
            fix = "write a PeerAuthentication with this selector and portLevelMtls mode DISABLE for the port"
            yield Place(document).at("ingress", index, "tls").error("covered-tls", message, fix)


def _mode_left_out(document: Document, written: OutboundTrafficPolicy | None) -> tuple[Problem, ...]:
    if written is None or "mode" in written.model_fields_set:
        return ()
    message = "outboundTrafficPolicy without mode is REGISTRY_ONLY: unknown destinations are refused"
    place = Place(document).at("outboundTrafficPolicy")
    return (place.warning("mode-left-out", message, "write the mode that you mean"),)


def _ingress(written: IstioIngressListener) -> IngressListener:
    port = written.port
    return IngressListener(
        port=Port(port.number, port.name or "", Protocol(port.protocol)),
        bind=written.bind or "",
        default_endpoint=written.default_endpoint,
        bound=written.capture_mode is CaptureMode.NONE,
        pool=connection_pool(written.connection_pool) if written.connection_pool else None,
        tls=server_tls(written.tls) if written.tls and written.tls.mode is not ServerTLSMode.PASSTHROUGH else None,
    )


def _egress(written: IstioEgressListener) -> EgressListener:
    return EgressListener(
        hosts=tuple(dict.fromkeys(_egress_host(host) for host in written.hosts)),
        port=written.port.number if written.port else 0,
        bind=written.bind,
        bound=written.capture_mode is CaptureMode.NONE,
        protocol=Protocol(written.port.protocol) if written.port else Protocol.AUTO,
    )


def _egress_proxy(written: Destination) -> tuple[str, int, str]:
    """The policy's own validation has seen that there is a port."""
    return written.host, written.port.number if written.port else 0, written.subset or ""


def _egress_host(text: str) -> tuple[str, str]:
    namespace, _, host = text.partition("/")
    return namespace, host
