"""The names that a sidecar answers for."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import compiled, entry, service, workload
from xds_server.mesh.dns_table import dns_table
from xds_server.mesh.service import Service
from xds_server.mesh.view import view_for
from xds_server.mesh.workload import Interception


def at(host: str, *addresses: str, namespace: str = "default") -> Service:
    return replace(service(host, namespace=namespace), addresses=addresses)


def test_service_is_found_under_every_name_that_it_answers_to() -> None:
    found = dict(dns_table([at("reviews", "10.9.0.1")], {}, "shop"))

    assert found == dict.fromkeys(
        ("reviews", "reviews.default", "reviews.default.svc", "reviews.default.svc.cluster.local"), ("10.9.0.1",)
    )


def test_name_of_a_service_wins_over_what_another_may_be_called() -> None:
    full = at("reviews.default.svc.cluster.local", "10.9.0.2")
    found = dict(dns_table([at("reviews", "10.9.0.1"), full], {}, "default"))

    assert found["reviews"] == ("10.9.0.1",)
    assert found["reviews.default.svc.cluster.local"] == ("10.9.0.2",)
    assert found["reviews.default"] == ("10.9.0.1",)


def test_own_addresses_come_before_ours_and_ranges_are_none() -> None:
    virtual = {("a", "default"): "240.240.0.1", ("b", "default"): "240.240.0.2"}
    found = dict(dns_table([at("a", "10.9.0.1", "10.8.0.0/16"), at("b"), at("c", "10.7.0.0/16")], virtual, ""))

    assert (found["a"], found["b"]) == (("10.9.0.1",), ("240.240.0.2",))
    assert "c" not in found


def test_workload_is_told_names_only_where_its_queries_are_captured() -> None:
    mesh, _ = compiled(entry("reviews"))
    captured = replace(workload(), dns_capture=True)

    assert dict(view_for(mesh, captured).names)["reviews"][0].startswith("240.240.")
    assert view_for(mesh, workload()).names == ()
    assert view_for(mesh, replace(captured, interception=Interception.NONE)).names == ()
