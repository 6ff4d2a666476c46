"""A real Envoy on our streams, in both variants: what it is sent it takes, refuses, and serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - its Any is parsed by name
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from google.protobuf import json_format

from tests.envoy.running import Envoy, free_port, get
from tests.patience import PATIENCE
from tests.server import loopback
from tests.server.loopback import Server, serving
from xds_server.bootstrap import Api, NodeOptions
from xds_server.mesh.workload import Interception
from xds_server.problem import Origin
from xds_server.settings import Address
from xds_server.xds import type_url
from xds_server.xds.proxy_status import TypeState
from xds_server.xds.resource import Resource

BOTH = pytest.mark.parametrize("api", list(Api))
ADS = {"ads": {}, "resource_api_version": "V3"}
PREFIX = type_url.PREFIX


def packed(url: str, name: str, message: Any, version: str, **more: Any) -> Resource:
    return Resource(url, name, version, message.SerializeToString(deterministic=True), **more)


def listener(port: int) -> Resource:
    """One that takes its routes from RDS."""
    manager = {
        "@type": f"{PREFIX}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "rds": {"route_config_name": "web", "config_source": ADS},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{PREFIX}envoy.extensions.filters.http.router.v3.Router"}}
        ],
    }
    body = {
        "name": "web",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    message = json_format.ParseDict(body, listener_pb2.Listener())
    return packed(type_url.LISTENER, "web", message, "1", refs=((type_url.ROUTE, "web"),))


def routes(text: str) -> Resource:
    """Every request is answered with `text`."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}}
    body = {"name": "web", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [answer]}]}
    return packed(type_url.ROUTE, "web", json_format.ParseDict(body, route_pb2.RouteConfiguration()), text)


def cluster(name: str, timeout: str, *, origin: Origin | None = None) -> Resource:
    """One that takes its endpoints from EDS; a timeout that is not positive is refused by Envoy's own validation."""
    body = {"name": name, "type": "EDS", "connect_timeout": timeout, "eds_cluster_config": {"eds_config": ADS}}
    message = json_format.ParseDict(body, cluster_pb2.Cluster())
    origins = (origin,) if origin else ()
    return packed(type_url.CLUSTER, name, message, timeout, refs=((type_url.ENDPOINT, name),), origins=origins)


def endpoints(name: str) -> Resource:
    """One endpoint."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 9}}
    body = {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
    return packed(type_url.ENDPOINT, name, json_format.ParseDict(body, endpoint_pb2.ClusterLoadAssignment()), "1")


@dataclass(frozen=True)
class Connected:
    """A server and the Envoy that it configures."""

    server: Server
    envoy: Envoy
    port: int

    def state(self, url: str) -> TypeState:
        """What the server knows of a type on Envoy's one stream."""
        (proxy,) = self.server.board.proxies() or (None,)
        return proxy.types.get(url, TypeState()) if proxy else TypeState()

    async def accepted(self, url: str, *, after: str = "") -> TypeState:
        """The state once Envoy took the latest response, a later one than the one with nonce `after`."""
        await loopback.until(lambda: self.state(url).is_synced and self.state(url).acked_nonce != after)
        return self.state(url)

    async def serves(self, text: str) -> None:
        """Wait until the listener answers with `text`."""
        await look(lambda: get(self.port, "/") == text)

    async def stats(self, pattern: str) -> dict[str, int]:
        """See `Envoy.stats`."""
        return await asyncio.to_thread(self.envoy.stats, pattern)


async def look(condition: Callable[[], bool]) -> None:
    """Wait until a blocking look at the Envoy finds what it looks for."""
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(_holds, condition):  # noqa: ASYNC110 - another process has no event to wait on
            await asyncio.sleep(0.03)


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except OSError:
        return False


@asynccontextmanager
async def connected(binary: Path, directory: Path, api: Api, *resources: Resource) -> AsyncIterator[Connected]:
    """An Envoy under a server that has published a listener, its routes and `resources`."""
    port = free_port()
    async with serving(listener(port), routes("first"), *resources) as server:
        options = NodeOptions(
            metrics_interval=0,
            name="web",
            interception=Interception.NONE,
            http_proxy_port=free_port(),
            xds=(Address("127.0.0.1", server.listener.port),),
            admin_port=free_port(),
            api=api,
        )
        envoy = Envoy(binary, directory, options)
        try:
            yield Connected(server, envoy, port)
        finally:
            await asyncio.to_thread(envoy.close)


@BOTH
async def test_envoy_serves_what_it_is_sent_and_what_changes(api: Api, envoy_binary: Path, tmp_path: Path) -> None:
    async with connected(envoy_binary, tmp_path, api) as lab:
        await lab.serves("first")

        lab.server.publish(listener(lab.port), routes("second"))

        await lab.serves("second")
        assert lab.state(type_url.LISTENER).pushes == 1, "a change of routes leaves the listener alone"


@BOTH
async def test_refusal_is_recorded_with_its_policy_and_mended_by_a_fix(
    api: Api, envoy_binary: Path, tmp_path: Path
) -> None:
    origin = Origin("bad.yaml", 3, "DestinationRule", "default", "bad")
    async with connected(envoy_binary, tmp_path, api, cluster("bad", "-1s", origin=origin), endpoints("bad")) as lab:
        await loopback.until(lambda: lab.state(type_url.CLUSTER).last_error != "")
        refused = lab.state(type_url.CLUSTER)
        await lab.serves("first")

        lab.server.publish(listener(lab.port), routes("first"), cluster("bad", "1s"), endpoints("bad"))
        fixed = await lab.accepted(type_url.CLUSTER)

    assert "duration" in refused.last_error
    assert (refused.refused, refused.origins) == (("bad",), (origin,))
    assert (fixed.last_error, fixed.nacks) == ("", 1), "the same content is never sent twice to a proxy that refused it"


@BOTH
async def test_changed_cluster_is_warm_without_waiting_for_the_endpoints_it_has(
    api: Api, envoy_binary: Path, tmp_path: Path
) -> None:
    """Envoy does not ask for them again in the delta variant, and would take them from its cache after 15 s."""
    async with connected(envoy_binary, tmp_path, api, cluster("c", "1s"), endpoints("c")) as lab:
        before = await lab.accepted(type_url.CLUSTER)

        lab.server.publish(listener(lab.port), routes("first"), cluster("c", "2s"), endpoints("c"))
        await lab.accepted(type_url.CLUSTER, after=before.acked_nonce)

        assert await lab.stats("cluster.c.assignment") == {
            "cluster.c.assignment_stale": 0,
            "cluster.c.assignment_timeout_received": 0,
            "cluster.c.assignment_use_cached": 0,
        }


@BOTH
async def test_envoy_that_comes_back_to_a_restarted_server_is_sent_no_listener_again(
    api: Api, envoy_binary: Path, tmp_path: Path
) -> None:
    """Versions are content hashes, so the listener, and every connection on it, stays as it is."""
    async with connected(envoy_binary, tmp_path, api) as lab:
        await lab.serves("first")
        port = lab.server.listener.port
        await lab.server.listener.stop()
        again = Server()
        again.publish(listener(lab.port), routes("second"))
        async with loopback.started(again, address=f"127.0.0.1:{port}"):
            await lab.serves("second")

            assert again.board.pushes[type_url.LISTENER] == 0
            (proxy,) = again.board.proxies()
            held = proxy.types[type_url.LISTENER]
            assert (held.is_synced, bool(held.acked_version), held.sent_nonce) == (True, True, "")
