"""What a node says it is, and what is made of it."""

from __future__ import annotations

import pytest

from xds_server.mesh.workload import Interception, workload


def test_istio_node_id_gives_name_namespace_and_address() -> None:
    """sidecar~IP~NAME.NAMESPACE~DOMAIN, the last dot before the namespace."""
    found = workload("sidecar~10.0.0.7~web.v2.shop~shop.svc.cluster.local", default_namespace="default")

    assert (found.name, found.namespace, found.addresses) == ("web.v2", "shop", ("10.0.0.7",))


def test_replica_in_a_node_id_is_no_part_of_the_name() -> None:
    """NAME@REPLICA.NAMESPACE, where a replica may have dots, as a host name has."""
    found = workload("sidecar~10.0.0.7~web.v2@host-1.lan.shop~shop.svc.cluster.local", default_namespace="default")

    assert (found.name, found.namespace) == ("web.v2", "shop")


def test_any_other_node_id_is_the_name() -> None:
    """A node need not know Istio's form."""
    found = workload("web-1", default_namespace="default")

    assert (found.name, found.namespace, found.addresses) == ("web-1", "default", ())


def test_metadata_wins_over_the_node_id() -> None:
    """Istio's own agents say both; the metadata is what they mean."""
    found = workload(
        "sidecar~10.0.0.7~web.shop~local",
        default_namespace="default",
        metadata={"NAME": "api", "NAMESPACE": "prod", "INSTANCE_IPS": "10.0.0.7, 10.0.0.8", "LABELS": {"app": "api"}},
    )

    assert (found.name, found.namespace, found.labels) == ("api", "prod", (("app", "api"),))
    assert found.addresses == ("10.0.0.7", "10.0.0.8")


@pytest.mark.parametrize(("value", "port"), [("15080", 15080), (15080.0, 15080), (0.5, 0), ("x", 0), (70000, 0)])
def test_proxy_port_is_read_from_text_and_numbers(value: object, port: int) -> None:
    """A Struct has no integers, and Istio writes the port as text; nonsense is no port."""
    assert workload("a", default_namespace="d", metadata={"HTTP_PROXY_PORT": value}).http_proxy_port == port


@pytest.mark.parametrize("metadata", [{"LABELS": "x"}, {"NAME": 3.0}, {"INSTANCE_IPS": []}, {"INTERCEPTION_MODE": 1.0}])
def test_metadata_of_the_wrong_type_is_passed_over(metadata: dict[str, object]) -> None:
    """A peer's mistake costs at most its own configuration."""
    found = workload("a", default_namespace="d", metadata=metadata)

    assert (found.name, found.labels, found.interception) == ("a", (), Interception.REDIRECT)


def test_traffic_is_captured_unless_the_node_says_none() -> None:
    """REDIRECT is Istio's default."""
    said = workload("a", default_namespace="d", metadata={"INTERCEPTION_MODE": "NONE"})

    assert workload("a", default_namespace="d").interception is Interception.REDIRECT
    assert said.interception is Interception.NONE
