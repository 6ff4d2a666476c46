"""All listeners of a view: which there are, each address once, and each built only when it is new.

Source: Istio, pilot/pkg/networking/core/listener*.go, whose names and shapes these are.
"""

from __future__ import annotations

from functools import lru_cache

from xds_server.mesh.service import Protocol
from xds_server.mesh.view import InboundPort, View
from xds_server.mesh.workload import Interception
from xds_server.translate import names
from xds_server.translate.dns import dns_listener
from xds_server.translate.inbound import BoundInbound, CapturedInbound, bound_inbound, captured_inbound
from xds_server.translate.outbound import outbound, outbound_listeners, unknown_cluster, virtual_outbound
from xds_server.xds.resource import Resource

REMEMBERED = 4096
"""Listeners kept, by what they were made from. Building one takes about a millisecond."""


class ListenerTranslator:
    """View to listeners, remembering. Not for two threads at once."""

    def __init__(self) -> None:
        self._outbound = lru_cache(maxsize=REMEMBERED)(outbound)
        self._virtual_outbound = lru_cache(virtual_outbound)
        self._captured_inbound = lru_cache(maxsize=REMEMBERED)(captured_inbound)
        self._dns = lru_cache(dns_listener)
        self._bound_inbound = lru_cache(maxsize=REMEMBERED)(bound_inbound)

    def listeners(self, view: View) -> tuple[Resource, ...]:
        """Every listener of `view`; no two have one address and port, which Envoy would refuse."""
        if view.interception is Interception.REDIRECT:
            ports = inbound_ports(view)
            captured = tuple(port for port in ports if not port.bound)
            bound = (_bound(view, port, port.bind or names.WILDCARD_ADDRESS) for port in ports if port.bound)
            inbound = CapturedInbound(
                captured, view.mutual_tls, view.trust_domain, view.settings, view.observed.inbound
            )
            return (
                self._virtual_outbound(unknown_cluster(view), view.settings.outbound_port, view.observed.outbound),
                self._captured_inbound(inbound),
                *(self._bound_inbound(each) for each in bound),
                *(self._outbound(plan) for plan in outbound_listeners(view)),
                *([self._dns(view.names)] if view.names else []),
            )
        taken = {(port.bind or view.bind_address, port.number): port for port in inbound_ports(view)}
        return (
            *(self._bound_inbound(_bound(view, port, where)) for (where, _), port in taken.items()),
            *(self._outbound(plan) for plan in outbound_listeners(view) if (plan.address, plan.port) not in taken),
        )


def _bound(view: View, port: InboundPort, bind: str) -> BoundInbound:
    return BoundInbound(port, bind, view.trust_domain, view.settings, view.observed.inbound)


def inbound_ports(view: View) -> tuple[InboundPort, ...]:
    """The ports that get a listener or chain: what is TCP, and not the port that captures."""
    taken = view.settings.inbound_port if view.interception is Interception.REDIRECT else None
    return tuple(port for port in view.inbound if port.protocol is not Protocol.UDP and port.number != taken)
