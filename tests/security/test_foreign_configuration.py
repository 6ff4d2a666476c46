"""Nobody gets another's configuration: every identity asks for every other's, in each way that the protocol has.

A server process with client certificates, and one peer for each of the identities. What belongs to one namespace alone
(by exportTo, and for every second one by a Sidecar too) carries the name of that namespace in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.builders import istio
from tests.envoy.running import Control
from tests.patience import PATIENCE
from tests.secured import Enrolled
from tests.server.loopback import Client
from xds_server._proto import discovery_pb2
from xds_server.bootstrap import NodeOptions
from xds_server.enroll import Enrolment, enroll
from xds_server.identity.principal import CONTROL_PLANE_DNS
from xds_server.mesh.identity import TrustDomain
from xds_server.security import open_state, utc_now
from xds_server.server.wire import METHODS, Method
from xds_server.xds import type_url
from xds_server.xds.proxy_status import Variant

WHO = ("alfa", "bravo", "charlie", "delta", "echo", "foxtrot")
NUMBER = {who: number for number, who in enumerate(WHO, start=1)}
TYPES = (type_url.CLUSTER, type_url.ENDPOINT, type_url.LISTENER, type_url.ROUTE, type_url.SECRET)


def tells_of(who: str, name: str, body: bytes) -> bool:
    """Whether a resource holds what is private to a namespace, beside the name by which it is asked for."""
    content = body.replace(name.encode(), b"")
    return f"private-{who}".encode() in content or f"10.8.0.{NUMBER[who]}".encode() in content


def private(who: str) -> str:
    """A service, a rule and a route that only their own namespace may know."""
    number, host, own = NUMBER[who], f"private-{who}.example", 'exportTo: ["."]'
    service = (
        f"hosts: [{host}], addresses: [10.9.0.{number}], resolution: STATIC, location: MESH_INTERNAL, {own}, "
        f"ports: [{{number: 91{number:02}, name: web, protocol: HTTP}}, {{number: 92{number:02}, name: db}}], "
        f"endpoints: [{{address: 10.8.0.{number}, labels: {{version: v1}}, serviceAccount: private-{who}}}]"
    )
    rule = f"host: {host}, {own}, subsets: [{{name: v1, labels: {{version: v1}}}}]"
    route = (
        f"hosts: [{host}], {own}, http: [{{headers: {{response: {{set: {{x-of: private-{who}}}}}}}, "
        f"route: [{{destination: {{host: {host}, subset: v1, port: {{number: 91{number:02}}}}}}}]}}]"
    )
    kinds = {"ServiceEntry": service, "DestinationRule": rule, "VirtualService": route}
    if number % 2:
        kinds["Sidecar"] = 'egress: [{hosts: ["./*", "commons/*"]}]'
    return "".join(istio(kind, spec, namespace=who) for kind, spec in kinds.items())


COMMON = istio(
    "ServiceEntry",
    "hosts: [common.example], addresses: [10.9.9.9], resolution: STATIC, location: MESH_INTERNAL, "
    "ports: [{number: 80, name: web, protocol: HTTP}, {number: 9999, name: db, protocol: TCP}], "
    "endpoints: [{address: 10.8.9.9}]",
    namespace="commons",
)


@dataclass(frozen=True)
class Identities:
    """The running server, and everybody's credentials.

    Attributes:
        names: by who and type, the names of what he is sent, and of secrets those that he is not.
    """

    control: Control
    state: Path
    nodes: dict[str, Enrolled]
    names: dict[tuple[str, str], frozenset[str]]

    @contextlib.asynccontextmanager
    async def stream(self, who: str, method: Method) -> AsyncIterator[Client]:
        """A stream over TLS with the credentials of `who`."""
        node = self.nodes[who]
        credentials = grpc.ssl_channel_credentials((self.state / "node-ca" / "root-cert.pem").read_bytes(), *node.pair)
        options = [("grpc.ssl_target_name_override", CONTROL_PLANE_DNS)]
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{self.control.xds_port}", credentials, options=options
        ) as channel:
            yield Client(channel, method.path, node=node.node_id)

    def others(self, who: str) -> Iterator[str]:
        """Everybody else."""
        return (other for other in WHO if other != who)

    def foreign(self, who: str, url: str) -> list[str]:
        """What others have of this type, and he has not."""
        return sorted(set().union(*(self.names[other, url] for other in self.others(who))) - self.names[who, url])


def enrolled(directory: Path, who: str) -> Enrolled:
    """Credentials for the one workload of a namespace, as the command makes them."""
    state = open_state(directory / "state", TrustDomain(), utc_now())
    options = NodeOptions(name="node", namespace=who, service_account=f"private-{who}")
    place = directory / who
    how = Enrolment(directory=place, seen_as=str(place), lifetime=timedelta(days=1))
    enroll(state, TrustDomain(), options, how, utc_now())
    return Enrolled(place, options)


def resources(response: Any) -> dict[str, bytes]:
    """The contents of a response by name."""
    bodies = [getattr(one, "resource", one).value for one in response.resources]
    return {name_in(body): body for body in bodies}


def name_in(body: bytes) -> str:
    """The name of an encoded resource: field 1 of every type, shorter than 128 bytes here."""
    assert body[0] == 0x0A
    return body[2 : 2 + body[1]].decode()


async def everything(client: Client, who: str) -> dict[str, dict[str, bytes]]:
    """What an aggregated stream gives that asks as Envoy does: all, then what that names."""
    found: dict[str, dict[str, bytes]] = {}
    names = {type_url.ROUTE: [f"91{NUMBER[who]:02}", "80"]}
    for url in (type_url.CLUSTER, type_url.ENDPOINT, type_url.LISTENER, type_url.ROUTE):
        await client.ask(url, *names.get(url, ()))
        response = await client.response()
        found[url] = resources(response)
        await client.ack(response)
        if url == type_url.CLUSTER:
            names[type_url.ENDPOINT] = [*found[url]]
    return found


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Identities]:
    """Everybody is enrolled, and what is whose is found out by asking as oneself."""
    directory = tmp_path_factory.mktemp("identities")
    nodes = {who: enrolled(directory, who) for who in WHO}
    state = directory / "state"
    control = Control(directory, "--auth", "certificate", "--state-dir", str(state), "--no-validation")
    try:
        control.write("policies.yaml", "".join(map(private, WHO)) + COMMON)
        yield asyncio.run(found_out(Identities(control, state, nodes, {})))
    finally:
        control.close()


async def found_out(identities: Identities) -> Identities:
    """The same with `names`."""
    (method,) = (one for one in METHODS if not one.type_url and one.variant is Variant.DELTA)
    names: dict[tuple[str, str], frozenset[str]] = {}
    for who in WHO:
        async with asyncio.timeout(PATIENCE):
            while True:
                async with identities.stream(who, method) as client:
                    own = await everything(client, who)
                if any(tells_of(who, *one) for one in own[type_url.CLUSTER].items()):
                    break
        for url, held in own.items():
            names[who, url] = frozenset(held)
            assert any(tells_of(who, *one) for one in held.items()), f"{who} has nothing of its own of type {url}"
            assert foreign_in(held, identities.others(who)) == []
        account = f"spiffe://cluster.local/ns/{who}/sa/private-{who}"
        names[who, type_url.SECRET] = frozenset({account, f"{account}/node/node", identities.nodes[who].node_id})
    return Identities(identities.control, identities.state, identities.nodes, names)


def foreign_in(held: dict[str, bytes], others: Iterator[str]) -> list[str]:
    """The resources that tell of others."""
    return [name for other in others for name, body in held.items() if tells_of(other, name, body)]


async def ending(client: Client, request: Any) -> grpc.StatusCode:
    """How a stream ends on which nothing may be sent."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await client.send_bytes(request.SerializeToString())
        assert await client.call.read() is grpc.aio.EOF
    return (await client.ending())[0]


def types_of(method: Method) -> tuple[str, ...]:
    return (method.type_url,) if method.type_url else TYPES


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.path.rpartition("/")[2])
async def test_names_of_others_bring_nothing_of_theirs(
    identities: Identities, method: Method, figure: Callable[[str], None]
) -> None:
    """Asked for beside what is one's own, so that there is an answer in any case."""
    asked = got = 0
    for who in WHO:
        for url in types_of(method):
            wanted = identities.foreign(who, url)
            own = "default" if url == type_url.SECRET else min(identities.names[who, url])
            async with identities.stream(who, method) as client:
                await client.ask(url, own, *wanted)
                held: dict[str, bytes] = {}
                while own not in held:
                    held |= resources(await client.response())
            asked += len(wanted)
            got += len(foreign_in(held, identities.others(who)))
            empty_is_an_answer = url in {type_url.ENDPOINT, type_url.ROUTE}
            assert empty_is_an_answer or set(held).isdisjoint(wanted)

    figure(f"foreign configuration, {method.path}: {asked} foreign names asked for, {got} foreign resources")
    assert asked >= len(WHO) * (len(WHO) - 1)
    assert got == 0


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.path.rpartition("/")[2])
async def test_nobody_is_served_under_the_node_of_another_or_in_the_namespace_of_another(
    identities: Identities, method: Method, figure: Callable[[str], None]
) -> None:
    """Neither by the node id nor by metadata beside one's own; not one resource comes before the end."""
    endings = []
    url = method.type_url or type_url.CLUSTER
    for who, other in itertools.permutations(WHO, 2):
        node = identities.nodes
        for node_id, metadata in (
            (node[other].node_id, {}),
            (node[who].node_id, {"NAMESPACE": other}),
            (node[who].node_id, {"SERVICE_ACCOUNT": f"private-{other}"}),
        ):
            async with identities.stream(who, method) as client:
                request: Any = (
                    discovery_pb2.DiscoveryRequest()
                    if method.variant is Variant.SOTW
                    else discovery_pb2.DeltaDiscoveryRequest()
                )
                request.type_url, request.node.id = url, node_id
                request.node.metadata.update(metadata)
                endings.append(await ending(client, request))

    figure(f"foreign node, {method.path}: {len(endings)} streams asked as another, {len(endings)} refused")
    assert set(endings) == {grpc.StatusCode.PERMISSION_DENIED}
