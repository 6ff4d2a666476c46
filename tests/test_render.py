"""From the description of a node to what it would be sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from xds_server.bootstrap import NodeOptions, bootstrap
from xds_server.errors import ConfigurationError
from xds_server.mesh.service import Locality
from xds_server.render import node_workload, read_node, rendered
from xds_server.xds.snapshot import Snapshot

NODE = {
    "id": "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local",
    "metadata": {"LABELS": {"app": "web"}},
    "locality": {"region": "eu", "zone": "west"},
}


def test_node_is_read_as_the_server_reads_it() -> None:
    found = node_workload(NODE, "default", "node.yaml")

    assert (found.name, found.namespace, found.addresses) == ("web-1", "shop", ("10.0.0.1",))
    assert found.labels == (("app", "web"),)
    assert found.locality == Locality("eu", "west")


def test_whole_bootstrap_is_as_good_as_its_node() -> None:
    whole = bootstrap(NodeOptions(name="web-1", namespace="shop"))

    assert node_workload(whole, "default", "x") == node_workload(whole["node"], "default", "x")


@pytest.mark.parametrize(
    "document", [None, [], "text", {}, {"id": ""}, {"id": 3}, {"node": []}, {"node": {"cluster": "a"}}]
)
def test_what_holds_no_node_is_refused_with_what_to_write(document: object) -> None:
    with pytest.raises(ConfigurationError, match=r"node\.yaml holds no node: .*xds-server bootstrap"):
        node_workload(document, "default", "node.yaml")


def test_odd_metadata_and_locality_count_as_absent() -> None:
    found = node_workload({"id": "a", "metadata": "x", "locality": ["y"]}, "ns", "node.yaml")

    assert (found.name, found.namespace, found.locality) == ("a", "ns", Locality())


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"a: b: c"])
def test_file_that_is_no_yaml_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "node.yaml"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"node\.yaml"):
        read_node(path, "default")


def test_every_type_is_there_even_when_there_is_nothing() -> None:
    assert rendered(Snapshot()) == {"clusters": [], "endpoints": [], "listeners": [], "routes": [], "secrets": []}


def test_a_node_file_that_is_no_yaml_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "node.yaml").write_text("node:\n  id: [1\n")

    with pytest.raises(ConfigurationError, match=r"node.yaml:3:1 is no YAML: expected ',' or '\]'"):
        read_node(tmp_path / "node.yaml", "default")
