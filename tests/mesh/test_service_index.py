from __future__ import annotations

from xds_server.mesh.service import Endpoint, Resolution, Service
from xds_server.mesh.service_index import ServiceIndex


def a_service(
    host: str, address: str = "10.0.0.1", workload: str = "", selector: tuple[tuple[str, str], ...] = ()
) -> Service:
    endpoint = Endpoint(address, namespace="shop", workload=workload)
    return Service(host, "shop", (), Resolution.STATIC, (endpoint,), selector=selector)


def test_a_service_is_found_by_the_address_of_an_endpoint() -> None:
    web = a_service("web")
    assert ServiceIndex().updated((), [web]).found(["10.0.0.1"]) == {web}


def test_services_at_one_address_are_all_found() -> None:
    web, api = a_service("web"), a_service("api")
    assert ServiceIndex().updated((), [web, api]).found(["10.0.0.1"]) == {web, api}


def test_a_loopback_address_is_no_clue() -> None:
    assert not ServiceIndex().updated((), [a_service("web", "127.0.0.1")]).found(["127.0.0.1"])


def test_a_service_is_found_by_the_workload_entry_behind_an_endpoint() -> None:
    web = a_service("web", workload="vm-1")
    assert ServiceIndex().updated((), [web]).found([("shop", "vm-1")]) == {web}


def test_a_service_is_found_by_the_first_pair_of_its_selector() -> None:
    web = a_service("web", selector=(("app", "web"), ("tier", "front")))
    index = ServiceIndex().updated((), [web])
    assert index.found([("shop", ("app", "web"))]) == {web}
    assert not index.found([("shop", ("tier", "front"))])


def test_a_service_that_is_gone_is_found_no_more_and_its_neighbour_is() -> None:
    web, api = a_service("web"), a_service("api")
    assert ServiceIndex().updated((), [web, api]).updated([web], ()).found(["10.0.0.1"]) == {api}


def test_an_update_leaves_the_index_before_as_it_was() -> None:
    web = a_service("web")
    before = ServiceIndex().updated((), [web])
    before.updated([web], [a_service("api")])
    assert before.found(["10.0.0.1"]) == {web}
