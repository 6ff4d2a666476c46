"""The bootstrap of a node: what the server reads in it, and that real Envoy takes it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from xds_server.bootstrap import Api, NodeOptions, bootstrap
from xds_server.errors import ConfigurationError
from xds_server.mesh.service import Locality
from xds_server.mesh.workload import Interception, Workload, workload
from xds_server.settings import Address


def node_of(options: NodeOptions) -> dict[str, Any]:
    """The `node` of a bootstrap."""
    node = bootstrap(options)["node"]
    assert isinstance(node, dict)
    return node


def read_back(options: NodeOptions) -> Workload:
    """What the server makes of the node."""
    node = node_of(options)
    metadata = node["metadata"]
    assert isinstance(metadata, Mapping)
    locality = Locality(**node.get("locality", {}))
    return workload(node["id"], default_namespace="elsewhere", metadata=metadata, locality=locality)


def test_the_server_reads_in_it_what_was_asked_for() -> None:
    options = NodeOptions(
        name="worker-1",
        namespace="shop",
        ip="10.0.0.7",
        labels={"version": "v2", "app": "worker"},
        service_account="robot",
        locality=Locality("eu", "west", "a"),
        interception=Interception.NONE,
        http_proxy_port=15080,
        bind_address="127.0.0.9",
    )

    assert read_back(options) == Workload(
        name="worker-1",
        namespace="shop",
        labels=(("app", "worker"), ("version", "v2")),
        addresses=("10.0.0.7",),
        service_account="robot",
        locality=Locality("eu", "west", "a"),
        interception=Interception.NONE,
        http_proxy_port=15080,
        bind_address="127.0.0.9",
    )


def test_node_id_has_istios_form() -> None:
    assert node_of(NodeOptions(name="a", namespace="ns", ip="10.0.0.1"))["id"] == (
        "sidecar~10.0.0.1~a.ns~ns.svc.cluster.local"
    )
    assert node_of(NodeOptions(name="a", node_id="mine"))["id"] == "mine"


def test_node_cluster_is_app_and_namespace() -> None:
    assert node_of(NodeOptions(name="a-1", labels={"app": "a"}))["cluster"] == "a.default"
    assert node_of(NodeOptions(name="a-1"))["cluster"] == "a-1.default"


def test_admin_is_on_loopback() -> None:
    admin: Any = bootstrap(NodeOptions(name="a", admin_port=15099))["admin"]

    assert admin["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 15099}


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({"name": ""}, "--name"),
        ({"name": "a~b"}, "--name"),
        ({"name": "a@b"}, "--name"),
        ({"name": "a", "namespace": "b.c"}, "--namespace"),
        ({"name": "a", "ip": "web"}, "--ip"),
        ({"name": "a", "http_proxy_port": 1}, "--http-proxy-port"),
    ],
)
def test_what_would_be_misread_is_refused_by_its_option(values: dict[str, Any], option: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        NodeOptions(**values)


@pytest.mark.parametrize("api", list(Api))
@pytest.mark.parametrize("mode", list(Interception))
@pytest.mark.parametrize(
    "xds", [(Address("127.0.0.1", 15010),), (Address("xds-a", 15010), Address("10.0.0.1", 1))], ids=["ip", "names"]
)
def test_real_envoy_takes_it(
    api: Api, mode: Interception, xds: tuple[Address, ...], envoy_binary: Path, tmp_path: Path
) -> None:
    options = NodeOptions(
        name="a", locality=Locality("r", "z"), labels={"app": "a"}, api=api, interception=mode, xds=xds
    )
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(bootstrap(options)))

    done = subprocess.run(
        [envoy_binary, "--mode", "validate", "-c", path, "-l", "warn"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert "OK" in done.stdout
    assert "deprecated" not in done.stderr.lower()


def test_a_node_that_compares_zones_has_a_cluster_of_its_own_service() -> None:
    found = bootstrap(NodeOptions(name="web", self_discovery=True))

    assert read_back(NodeOptions(name="web", self_discovery=True)).self_discovery
    assert found["cluster_manager"] == {"local_cluster_name": "local_cluster"}
    assert "cluster_manager" not in bootstrap(NodeOptions(name="web"))
