"""The rules of the protocol that well-known servers break, on the real Envoy: what each costs is seen in Envoy itself.

Not here: the wildcard beside names (Envoy never asks so), and a changed cluster whose endpoints stay, which is in
`test_stream.py`. Warm means that no endpoints were waited for or taken from Envoy's own cache.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.envoy.test_stream import Connected, cluster, connected, endpoints, listener, look, routes
from tests.server import loopback
from tests.server.loopback import Server
from xds_server.bootstrap import Api
from xds_server.errors import ProtocolViolation
from xds_server.xds import type_url
from xds_server.xds.resource import Resource

BOTH = pytest.mark.parametrize("api", list(Api))
ROUNDS = 15


def full(port: int, *names: str, timeout: str = "1s") -> tuple[Resource, ...]:
    """A listener, its routes, and these clusters with their endpoints."""
    return (
        listener(port),
        routes("first"),
        *(cluster(name, timeout) for name in names),
        *(endpoints(name) for name in names),
    )


def unknown_extension(name: str) -> Resource:
    """A cluster that Envoy can read and not build: it alone is refused, and what came with it is taken."""
    good = cluster(name, "1s")
    # Field 24 is transport_socket: {name: "x", typed_config: {type_url: "type.googleapis.com/acme.v1.Nope"}}.
    packed = b"\x0a\x20type.googleapis.com/acme.v1.Nope"
    socket = b"\x0a\x01x\x1a" + bytes([len(packed)]) + packed
    return Resource(good.type_url, name, "bad", good.body + b"\xc2\x01" + bytes([len(socket)]) + socket, refs=good.refs)


async def warm(lab: Connected, *names: str) -> None:
    """Wait until Envoy has exactly these clusters of ours in service; none of them waited for endpoints."""
    wanted = {f"cluster.{name}.membership_total": 1 for name in names}
    await look(lambda: lab.envoy.stats(r"^cluster\.[a-z0-9]+\.membership_total$") == wanted)
    waited = await lab.stats(
        r"^cluster\.[a-z0-9]+\.(assignment_timeout_received|assignment_use_cached|init_fetch_timeout)"
    )
    assert not any(waited.values())


def refusals(lab: Connected) -> int:
    return lab.server.board.nacks.total()


@BOTH
async def test_name_that_is_subscribed_again_is_sent_again(api: Api, envoy_binary: Path, tmp_path: Path) -> None:
    """C09, C17. A cluster goes and comes back with the endpoints it had: Envoy has forgotten them."""
    async with connected(envoy_binary, tmp_path, api, cluster("c", "1s"), endpoints("c")) as lab:
        await warm(lab, "c")
        for _ in range(3):
            lab.server.publish(*full(lab.port))
            await warm(lab)
            lab.server.publish(*full(lab.port, "c"))
            await warm(lab, "c")

        assert refusals(lab) == 0


@BOTH
async def test_names_asked_for_beside_responses_in_flight_are_answered(
    api: Api, envoy_binary: Path, tmp_path: Path
) -> None:
    """C19. Clusters are added one by one, faster than Envoy answers, so that it asks beside nonces that are stale."""
    async with connected(envoy_binary, tmp_path, api) as lab:
        await lab.serves("first")
        names = [f"c{number}" for number in range(ROUNDS)]
        for count in range(1, ROUNDS + 1):
            lab.server.publish(*full(lab.port, *names[:count]))
            pushes = lab.state(type_url.CLUSTER).pushes
            await loopback.until(lambda pushes=pushes: lab.state(type_url.CLUSTER).pushes > pushes)  # type: ignore[misc]  # a loop variable

        await warm(lab, *names)
        assert refusals(lab) == 0


@BOTH
async def test_answer_for_a_name_that_is_given_up_meanwhile_does_no_harm(
    api: Api, envoy_binary: Path, tmp_path: Path
) -> None:
    """C20. Clusters come and go without a pause; the last state is what Envoy holds, and it refused nothing."""
    async with connected(envoy_binary, tmp_path, api, cluster("stays", "1s"), endpoints("stays")) as lab:
        await warm(lab, "stays")
        for number in range(ROUNDS):
            lab.server.publish(*full(lab.port, "stays", f"c{number}"))
            await asyncio.sleep(0)
            lab.server.publish(*full(lab.port, "stays"))
            await asyncio.sleep(0)
        lab.server.publish(*full(lab.port, "last", "stays"))

        await warm(lab, "last", "stays")
        assert refusals(lab) == 0


@BOTH
@pytest.mark.parametrize("repair", ["fix", "delete"])
async def test_good_siblings_of_a_refused_resource_arrive_with_its_repair(
    api: Api, envoy_binary: Path, tmp_path: Path, repair: str
) -> None:
    """C23, C24. One timeout below zero voids the whole response: what was good in it must be sent again, once."""
    async with connected(envoy_binary, tmp_path, api) as lab:
        await lab.serves("first")
        lab.server.publish(*full(lab.port, "good"), cluster("bad", "-1s"), endpoints("bad"))
        await loopback.until(lambda: refusals(lab) == 1)

        lab.server.publish(*full(lab.port, "good", *(["bad"] if repair == "fix" else [])))

        await warm(lab, *(["bad", "good"] if repair == "fix" else ["good"]))
        assert refusals(lab) == 1


@BOTH
async def test_refusal_does_not_hold_up_names_that_are_new(api: Api, envoy_binary: Path, tmp_path: Path) -> None:
    """C25. Endpoints of one cluster are refused, and stay so, while others are asked for."""
    async with connected(envoy_binary, tmp_path, api, cluster("a", "1s"), endpoints("a")) as lab:
        await warm(lab, "a")
        # Field 2 is endpoints, field 5 in it the priority: more than the 128 that Envoy takes.
        bad = Resource(type_url.ENDPOINT, "a", "bad", b"\x0a\x01a\x12\x03\x28\xc8\x01")
        lab.server.publish(*full(lab.port)[:2], cluster("a", "1s"), bad)
        await loopback.until(lambda: refusals(lab) == 1)

        lab.server.publish(*full(lab.port, "b")[:2], cluster("a", "1s"), bad, cluster("b", "1s"), endpoints("b"))

        await warm(lab, "a", "b")
        assert refusals(lab) == 1


@BOTH
async def test_cluster_that_changed_while_envoy_was_away_is_warm_at_once(
    api: Api, envoy_binary: Path, tmp_path: Path
) -> None:
    """C30, C31. Envoy comes back asking for endpoints first; the changed cluster that follows needs them once more."""
    async with connected(envoy_binary, tmp_path, api, cluster("c", "1s"), endpoints("c")) as lab:
        await warm(lab, "c")
        port = lab.server.listener.port
        await lab.server.listener.stop()
        again = Server()
        again.publish(*full(lab.port, "c", "d", timeout="2s"))
        async with loopback.started(again, address=f"127.0.0.1:{port}"):
            await look(
                lambda: lab.envoy.stats("cluster_manager.cluster_modified") != {"cluster_manager.cluster_modified": 0}
            )
            await warm(lab, "c", "d")
            await loopback.until(lambda: again.board.is_settled)

            assert again.board.nacks.total() == 0


@BOTH
async def test_what_envoy_took_from_a_refused_response_is_gone_once_it_is_deleted(
    api: Api, envoy_binary: Path, tmp_path: Path
) -> None:
    """C50. Envoy takes the good cluster, refuses the response, and does not list the cluster when it reconnects."""
    async with connected(envoy_binary, tmp_path, api) as lab:
        await lab.serves("first")
        lab.server.publish(*full(lab.port, "good"), unknown_extension("bad"), endpoints("bad"))
        await loopback.until(lambda: refusals(lab) == 1)
        await warm(lab, "good")

        lab.server.hub.refuse_all(ProtocolViolation("UNAVAILABLE", "come back"))
        lab.server.publish(*full(lab.port))

        await warm(lab)
