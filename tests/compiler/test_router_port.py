"""Where routers listen because of services of their own."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import endpoint, service
from xds_server.compiler.router_port import by_label, compatible, listens, moving
from xds_server.mesh.service import Port, Protocol

INGRESS = (("istio", "ingress"),)
MOVED = service(port=Port(80, "http", Protocol.HTTP, target_port=8080))


def test_port_that_is_not_moved_is_nothing_to_say() -> None:
    assert listens(replace(service(), selector=INGRESS), INGRESS) == ()


def test_service_must_share_a_label_with_the_gateways_selector() -> None:
    both = (("app", "edge"), *INGRESS)

    assert listens(replace(MOVED, selector=both), INGRESS) == (((80, (8080,)),),)
    assert listens(replace(MOVED, selector=(("app", "edge"),)), INGRESS) == ()
    assert listens(replace(MOVED, selector=INGRESS, moves_gateway_ports=False), INGRESS) == ()


def test_endpoint_must_have_all_labels_of_the_gateways_selector() -> None:
    there = replace(endpoint(istio="ingress", app="edge"), ports=(("http", 9090),))

    assert listens(replace(MOVED, endpoints=(there, endpoint(app="edge"))), INGRESS) == (((80, (9090,)),),)


def test_gateway_of_every_router_says_nothing_of_whom_it_means() -> None:
    assert listens(replace(MOVED, selector=INGRESS), ()) == ()


def test_labels_are_compatible_unless_they_contradict() -> None:
    assert compatible((("a", "1"),), (("b", "1"),))
    assert not compatible((("a", "1"),), (("a", "2"),))


def test_service_moves_ports_of_the_routers_that_share_a_label_with_it() -> None:
    others = by_label([INGRESS, (("istio", "egress"),), (("app", "edge"), *INGRESS), ()])
    there = replace(endpoint(istio="egress", app="edge"), ports=(("http", 9090),))

    assert moving(replace(MOVED, selector=INGRESS), others) == (INGRESS, (("app", "edge"), *INGRESS))
    assert moving(replace(MOVED, endpoints=(there,)), others) == ((("istio", "egress"),),)
    assert moving(replace(MOVED, selector=(("app", "shop"),)), others) == ()
