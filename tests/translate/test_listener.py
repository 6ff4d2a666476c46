"""All listeners of a view."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import backend, route, service, virtual_host
from xds_server.mesh.service import Protocol
from xds_server.mesh.view import InboundPort, View
from xds_server.mesh.workload import Interception
from xds_server.translate.listener import ListenerTranslator, inbound_ports

WEB = InboundPort(9080, Protocol.HTTP, "web", 80, default_endpoint="127.0.0.1:8080")
REVIEWS = backend("reviews")


def view_of(*inbound: InboundPort, interception: Interception = Interception.REDIRECT) -> View:
    return View((REVIEWS,), (virtual_host(REVIEWS),), inbound, interception=interception)


def names(view: View) -> list[str]:
    return [resource.name for resource in ListenerTranslator().listeners(view)]


def test_captured_traffic_comes_in_by_two_listeners() -> None:
    assert names(view_of(WEB)) == ["virtualOutbound", "virtualInbound", "0.0.0.0_9080"]


def test_without_capture_each_inbound_port_is_bound() -> None:
    other = replace(WEB, number=8000, bind="0.0.0.0")

    assert names(view_of(other, interception=Interception.NONE)) == ["0.0.0.0_8000", "127.0.0.1_9080"]


def test_inbound_port_comes_before_a_service_at_the_same_address() -> None:
    """The application's own port; Envoy refuses two listeners at one address."""
    listeners = ListenerTranslator().listeners(view_of(WEB, interception=Interception.NONE))

    assert [listener.name for listener in listeners] == ["127.0.0.1_9080"]
    assert b"inbound|9080||" in listeners[0].body


def test_udp_and_the_capturing_port_get_nothing() -> None:
    ports = (replace(WEB, protocol=Protocol.UDP), replace(WEB, number=15006))

    assert inbound_ports(view_of(*ports)) == ()
    assert inbound_ports(view_of(ports[1], interception=Interception.NONE)) == (ports[1],)


def test_listeners_stay_the_same_when_routes_and_endpoints_change() -> None:
    """A changed listener drains its connections."""
    translator = ListenerTranslator()
    before = translator.listeners(view_of(WEB))
    edited = backend(service("reviews", endpoints=()))

    after = translator.listeners(View((edited,), (virtual_host(edited, route(edited)),), (WEB,)))

    assert all(old is new for old, new in zip(before, after, strict=True))
