"""Simulated proxies: each holds what it was sent as Envoy would, reconnects with what it holds, and may refuse.

They follow clusters and listeners by wildcard and the endpoints and routes that these name, over real gRPC, on the
event loop of whoever tests. What one holds can be compared byte by byte with the snapshot it should have.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import functools
import gc
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf.wrappers_pb2 import StringValue

from tests.patience import PATIENCE
from tests.server.loopback import DELTA, SOTW
from xds_server._proto import discovery_pb2
from xds_server.xds.proxy_status import Variant
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import CLUSTER, ENDPOINT, LISTENER, ROUTE

FOLLOWED = {CLUSTER: ENDPOINT, LISTENER: ROUTE}
"""What the resources of a wildcard type make a proxy ask for by name."""
TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_INTERNAL = 13
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 4.0
"""Seconds; the pause before a new connection is random up to this."""

Held = dict[str, tuple[str, bytes]]
"""Version and body by name."""


class SimulatedProxy(abc.ABC):
    """One proxy; see `fleet`.

    Attributes:
        held: what is in force, by type.
        responses: received on all streams, by type.
        taken: resources received on all streams, by type.
        lost: names that were in force and were taken away, in order, by type.
        refuses: types of which the next resource whose name ends with one of these services' is refused. As with Envoy,
            what else is in its response is taken, and not told of when the proxy reconnects.
        streams: how many the server ended or lost.
        goes_on: cleared, the proxy neither reads nor answers.
    """

    path: str

    def __init__(self, node_id: str, port: int) -> None:
        self.node_id = node_id
        self.held: dict[str, Held] = {url: {} for url in TYPES}
        self.responses: Counter[str] = Counter()
        self.taken: Counter[str] = Counter()
        self.lost: dict[str, list[str]] = {url: [] for url in TYPES}
        self.refuses: dict[str, frozenset[str]] = {}
        self.streams = 0
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self._port = port
        self._call: Any = None
        self._names: dict[str, frozenset[str]] = {}
        self._introduced = False

    def holds(self, snapshot: Snapshot) -> bool:
        """Whether what is in force is exactly what `snapshot` says, byte by byte."""
        return all(_bodies(self.held[url]) == {r.name: r.body for r in snapshot.of_type(url).values()} for url in TYPES)

    def difference(self, snapshot: Snapshot) -> dict[str, list[str]]:
        """Names that `holds` stumbles over, by type."""
        wanted = {url: {r.name: r.body for r in snapshot.of_type(url).values()} for url in TYPES}
        held = {url: _bodies(self.held[url]) for url in TYPES}
        found = {
            url: [
                name for name in held[url].keys() | wanted[url].keys() if held[url].get(name) != wanted[url].get(name)
            ]
            for url in TYPES
        }
        return {url: sorted(names) for url, names in found.items() if names}

    @property
    def has_lost(self) -> set[str]:
        """Every name, of any type, that was in force and was taken away."""
        return {name for names in self.lost.values() for name in names}

    async def live(self) -> None:
        """Connect, follow, and connect again with Envoy's growing pauses, until cancelled."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", options=_OPTIONS) as channel:
            pause = _FIRST_PAUSE
            while True:
                before = self.responses.total()
                with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await self._stream(channel)
                self.streams += 1
                pause = min(2 * pause, _LONGEST_PAUSE) if self.responses.total() == before else _FIRST_PAUSE
                await asyncio.sleep(random.uniform(0, pause))  # spreads load, hides nothing

    async def hang_up(self) -> None:
        """Break the connection, as a restart of the network would."""
        if self._call is not None:
            self._call.cancel()

    async def _stream(self, channel: grpc.aio.Channel) -> None:
        call = channel.stream_stream(self.path)()
        # A call that is cancelled before it is connected never comes back from its first write (grpcio 1.85).
        await call.wait_for_connection()
        self._call = call
        self._introduced = False
        self._names = {url: self._needed(url) for url in (ENDPOINT, ROUTE)}
        self._begin()
        try:
            for url in TYPES:
                if url in FOLLOWED or self._names[url]:
                    await self._write(self._first(url))
            while (data := await self._call.read()) is not grpc.aio.EOF:
                await self.goes_on.wait()
                await self._take(data)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # else it was `hang_up`
                raise
        finally:
            self._call.cancel()

    async def _take(self, data: bytes) -> None:
        response = self._parsed(data)
        url = response.type_url
        self.responses[url] += 1
        before = frozenset(self.held[url])
        error = self._apply_all_but_one(response)
        self.lost[url] += before - frozenset(self.held[url])
        follower = FOLLOWED.get(url)
        if follower is not None:
            await self._follow(follower)
        await self._write(self._answer(response, error))

    def _apply_all_but_one(self, response: Any) -> str:
        """Take a response without the first resource that is to be refused; the refusal's text, or ""."""
        url = response.type_url
        services = self.refuses.get(url, frozenset())
        names = {_name_of(_body(resource)): resource for resource in response.resources}
        refused = next((name for name in names if name.rpartition("|")[2] in services), "")
        if not refused:
            self._apply(response)
            return ""
        del self.refuses[url]
        kept = self.held[url].get(refused)
        self._apply(response)
        self.held[url].pop(refused, None)
        if kept is not None:
            self.held[url][refused] = kept
        for name in names.keys() & self.held[url].keys() - {refused}:
            self.held[url][name] = ("", self.held[url][name][1])
        return f"Error adding/updating resource(s) {refused}: refused by a test"

    async def _follow(self, url: str) -> None:
        """Ask for what is newly needed, and forget what no longer is."""
        before, now = self._names[url], self._needed(url)
        if before == now:
            return
        self._names[url] = now
        for name in before - now:
            self.held[url].pop(name, None)
        await self._write(self._renamed(url, before, now))

    def _needed(self, url: str) -> frozenset[str]:
        if url == ENDPOINT:
            return frozenset().union(*(_endpoints_of(body) for _, body in self.held[CLUSTER].values()))
        return frozenset().union(*(_routes_of(body) for _, body in self.held[LISTENER].values()))

    async def _write(self, request: Any) -> None:
        if not self._introduced:
            request.node.id, self._introduced = self.node_id, True
        await self._call.write(request.SerializeToString())

    @abc.abstractmethod
    def _begin(self) -> None:
        """A new stream: forget nonces."""

    @abc.abstractmethod
    def _first(self, url: str) -> Any:
        """The first request of a type."""

    @abc.abstractmethod
    def _renamed(self, url: str, before: frozenset[str], now: frozenset[str]) -> Any:
        """The request that changes the names asked for."""

    @abc.abstractmethod
    def _answer(self, response: Any, error: str) -> Any:
        """The acknowledgement of a response, or its refusal."""

    @abc.abstractmethod
    def _parsed(self, data: bytes) -> Any:
        """A response."""

    @abc.abstractmethod
    def _apply(self, response: Any) -> None:
        """Put a response in force."""


class DeltaProxy(SimulatedProxy):
    """Speaks the incremental variant."""

    path = DELTA

    def _begin(self) -> None:
        """Nothing is remembered but what is held."""

    def _first(self, url: str) -> Any:
        versions = {name: version for name, (version, _) in self.held[url].items() if version}
        return discovery_pb2.DeltaDiscoveryRequest(
            type_url=url,
            resource_names_subscribe=sorted(self._names.get(url, ())),
            initial_resource_versions=versions,
        )

    def _renamed(self, url: str, before: frozenset[str], now: frozenset[str]) -> Any:
        return discovery_pb2.DeltaDiscoveryRequest(
            type_url=url,
            resource_names_subscribe=sorted(now - before),
            resource_names_unsubscribe=sorted(before - now),
        )

    def _answer(self, response: Any, error: str) -> Any:
        answer = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        return _with_error(answer, error)

    def _parsed(self, data: bytes) -> Any:
        return discovery_pb2.DeltaDiscoveryResponse.FromString(data)

    def _apply(self, response: Any) -> None:
        held, wanted = self.held[response.type_url], self._names.get(response.type_url)
        for resource in response.resources:
            self.taken[response.type_url] += 1
            if wanted is None or resource.name in wanted:
                held[resource.name] = (resource.version, resource.resource.value)
        if response.type_url in FOLLOWED:  # Envoy keeps endpoints and routes until nothing names them
            for name in response.removed_resources:
                held.pop(name, None)


class SotwProxy(SimulatedProxy):
    """Speaks the state of the world."""

    path = SOTW

    def __init__(self, node_id: str, port: int) -> None:
        super().__init__(node_id, port)
        self._versions: dict[str, str] = {}
        self._nonces: dict[str, str] = {}

    def _begin(self) -> None:
        self._nonces.clear()

    def _first(self, url: str) -> Any:
        return self._request(url)

    def _renamed(self, url: str, before: frozenset[str], now: frozenset[str]) -> Any:
        del before, now
        return self._request(url)

    def _answer(self, response: Any, error: str) -> Any:
        self._nonces[response.type_url] = response.nonce
        if not error:
            self._versions[response.type_url] = response.version_info
        return _with_error(self._request(response.type_url), error)

    def _request(self, url: str) -> Any:
        return discovery_pb2.DiscoveryRequest(
            type_url=url,
            resource_names=sorted(self._names.get(url, ())),
            version_info=self._versions.get(url, ""),
            response_nonce=self._nonces.get(url, ""),
        )

    def _parsed(self, data: bytes) -> Any:
        return discovery_pb2.DiscoveryResponse.FromString(data)

    def _apply(self, response: Any) -> None:
        url, wanted = response.type_url, self._names.get(response.type_url)
        self.taken[url] += len(response.resources)
        bodies = [packed.value for packed in response.resources]
        now = {_name_of(body): (response.version_info, body) for body in bodies}
        if url in FOLLOWED:
            self.held[url] = now
        else:
            self.held[url] |= {name: held for name, held in now.items() if wanted is None or name in wanted}


@contextlib.asynccontextmanager
async def fleet(
    port: int, count: int, *, variants: Sequence[Variant] = tuple(Variant), namespace: str = "default"
) -> AsyncIterator[list[SimulatedProxy]]:
    """`count` proxies, of each variant in turn, that live while the block runs."""
    kinds = {Variant.DELTA: DeltaProxy, Variant.SOTW: SotwProxy}
    proxies = [kinds[variants[n % len(variants)]](node_id(n, namespace), port) for n in range(count)]
    lives = [asyncio.create_task(proxy.live()) for proxy in proxies]
    try:
        yield proxies
    finally:
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        gc.collect()  # gRPC closes a connection when the last object that knows it is gone, and its objects are rings


def node_id(number: int, namespace: str = "default") -> str:
    """Of the proxy with this number."""
    return f"sidecar~10.1.{number >> 8}.{number & 255}~proxy-{number}.{namespace}~{namespace}.svc.cluster.local"


async def in_step(
    proxies: Iterable[SimulatedProxy], snapshots: Mapping[str, Snapshot], *, seconds: float = PATIENCE
) -> None:
    """Wait until every proxy holds exactly its snapshot, by node id.

    Raises:
        AssertionError: one does not come to hold it; says which, and what is different.
    """
    behind = list(proxies)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while behind := [proxy for proxy in behind if not proxy.holds(snapshots[proxy.node_id])]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    differences = [(proxy.node_id, proxy.path, proxy.difference(snapshots[proxy.node_id])) for proxy in behind]
    assert not behind, f"{len(behind)} are not in step: {differences[:3]}"


def _body(resource: Any) -> bytes:
    """Of a resource in a response: wrapped with name and version (delta), or not."""
    body: bytes = resource.resource.value if hasattr(resource, "resource") else resource.value
    return body


def _bodies(held: Held) -> dict[str, bytes]:
    return {name: body for name, (_, body) in held.items()}


def _with_error(request: Any, error: str) -> Any:
    if error:
        request.error_detail.code, request.error_detail.message = _INTERNAL, error
    return request


@functools.lru_cache(maxsize=100_000)
def _endpoints_of(body: bytes) -> frozenset[str]:
    cluster = cluster_pb2.Cluster.FromString(body)
    if cluster.type != cluster_pb2.Cluster.EDS:
        return frozenset()
    return frozenset({cluster.eds_cluster_config.service_name or cluster.name})


@functools.lru_cache(maxsize=10_000)
def _routes_of(body: bytes) -> frozenset[str]:
    listener = listener_pb2.Listener.FromString(body)
    filters = [one for chain in (*listener.filter_chains, listener.default_filter_chain) for one in chain.filters]
    found = set()
    for one in filters:
        manager = http_connection_manager_pb2.HttpConnectionManager()
        if one.typed_config.Unpack(manager) and manager.rds.route_config_name:
            found.add(manager.rds.route_config_name)
    return frozenset(found)


@functools.lru_cache(maxsize=100_000)
def _name_of(body: bytes) -> str:
    """Field 1 of a listener, cluster, route configuration or cluster load assignment is its name."""
    name: str = StringValue.FromString(body).value
    return name
