"""Who may connect, as whom, and what each is told, over real connections."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from structlog.testing import capture_logs

from tests.identity.material import root, svid
from tests.identity.test_identity_files import put
from tests.patience import PATIENCE
from tests.secured import Enrolled, Secured, secured, tls_listener
from tests.server.loopback import DELTA, Client, until
from xds_server._proto import discovery_pb2
from xds_server.errors import ConfigurationError, ProtocolViolation
from xds_server.identity.authority import Authority, pem
from xds_server.identity.revocation import revoke
from xds_server.identity.root_rotation import begin_rotation
from xds_server.identity.svid import read_certificates, uri_names
from xds_server.mesh.identity import SpiffeId
from xds_server.security import Security, utc_now
from xds_server.server.hub import Peer
from xds_server.settings import Authentication, Settings
from xds_server.xds import type_url

WAYS = pytest.mark.parametrize("way", [Authentication.CERTIFICATE, Authentication.TOKEN])
TURNED_AWAY = {
    Authentication.CERTIFICATE: grpc.StatusCode.UNAVAILABLE,
    Authentication.TOKEN: grpc.StatusCode.UNAUTHENTICATED,
}
"""How the stream of a peer ends that is not believed: in the handshake there is no status yet."""
LISTENER = tls_listener(1)


async def secrets_of(client: Client) -> dict[str, secret_pb2.Secret]:
    """What a peer gets that asks for its secrets, by name."""
    await client.ask(type_url.SECRET, "default", "ROOTCA")
    return read(await client.response())


def read(response: Any) -> dict[str, secret_pb2.Secret]:
    """The secrets of a response, by name."""
    assert response.type_url == type_url.SECRET
    found = [secret_pb2.Secret.FromString(getattr(r, "resource", r).value) for r in response.resources]
    return {secret.name: secret for secret in found}


def name_in(secret: secret_pb2.Secret) -> str:
    """The identity in a certificate that was served."""
    (name,) = uri_names(read_certificates(secret.tls_certificate.certificate_chain.inline_bytes, "served")[0])
    return name


@WAYS
async def test_proxy_gets_the_identity_that_it_proved(way: Authentication, tmp_path: Path) -> None:
    async with (
        secured(tmp_path, LISTENER, auth=way) as server,
        server.stream(server.enrol("web-1", service_account="web")) as client,
    ):
        served = await secrets_of(client)

    assert name_in(served["default"]) == "spiffe://cluster.local/ns/default/sa/web"
    assert served["ROOTCA"].validation_context.trusted_ca.inline_bytes.startswith(b"-----BEGIN CERTIFICATE-----")


@WAYS
async def test_nobody_is_let_in_without_proof(way: Authentication, tmp_path: Path) -> None:
    async with secured(tmp_path, LISTENER, auth=way) as server, server.stream(None) as client:
        assert (await client.ending())[0] is TURNED_AWAY[way]
        assert server.board.totals().opened == 0


@WAYS
async def test_node_of_another_authority_is_not_let_in(way: Authentication, tmp_path: Path) -> None:
    async with secured(tmp_path / "a", auth=way) as other, secured(tmp_path / "b", LISTENER, auth=way) as server:
        async with server.stream(other.enrol("web-1")) as client:
            assert (await client.ending())[0] is TURNED_AWAY[way]
        assert server.board.totals().opened == 0


@WAYS
async def test_every_identity_asks_for_every_others_and_gets_nothing(way: Authentication, tmp_path: Path) -> None:
    """N times N: each asks with each other's node id, for its secrets by every name that might be one."""
    async with secured(tmp_path, LISTENER, auth=way) as server:
        nodes = [server.enrol(f"n{i}", service_account=f"sa{i}", namespace=f"ns{i % 2}") for i in range(5)]
        served: dict[str, str] = {}
        for node in nodes:
            async with server.stream(node) as client:
                served[node.node_id] = name_in((await secrets_of(client))["default"])
            for other in nodes:
                if other is node:
                    continue
                async with server.stream(node, node_id=other.node_id) as client:
                    await client.ask(type_url.SECRET, "default")
                    assert (await client.ending())[0] is grpc.StatusCode.PERMISSION_DENIED
                async with server.stream(node) as client:
                    names = _names_of(other)
                    await client.ask(type_url.SECRET, *names)
                    answer = await client.response()
                    assert not answer.resources
                    assert set(answer.removed_resources) == set(names)

    assert len(set(served.values())) == len(nodes)


async def test_one_credential_serves_replicas_and_lets_none_be_another_nodes(tmp_path: Path) -> None:
    """Each has a key of its own; what the credential does not name stays closed; revoked, all of them end."""
    async with secured(tmp_path, LISTENER) as server, AsyncExitStack() as streams:
        node, other = server.enrol("worker", service_account="w"), server.enrol("api")
        shown = []
        for replica in ("a", "b"):
            client = await streams.enter_async_context(server.stream(node, node_id=node.replica(replica)))
            shown.append((await secrets_of(client))["default"])
        assert [name_in(secret) for secret in shown] == ["spiffe://cluster.local/ns/default/sa/w"] * 2
        assert shown[0] != shown[1]

        async with server.stream(other, node_id=node.replica("a")) as stranger:
            await stranger.ask(type_url.SECRET, "default")
            assert (await stranger.ending())[0] is grpc.StatusCode.PERMISSION_DENIED

        revoke(server.settings.state_dir / "revoked", "worker.default", utc_now())
        await until(lambda: server.hub.proxies() == ())
        async with server.stream(node, node_id=node.replica("c")) as late:
            assert (await late.ending())[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_metadata_cannot_make_a_node_somebody_else(tmp_path: Path) -> None:
    async with secured(tmp_path, LISTENER) as server, server.stream(server.enrol("web-1")) as client:
        message: Any = _request("sidecar~1.1.1.1~web-1.default~default.svc.cluster.local", SERVICE_ACCOUNT="vault")
        await client.send_bytes(message.SerializeToString())
        status, text = await client.ending()

    assert status is grpc.StatusCode.PERMISSION_DENIED
    assert "SERVICE_ACCOUNT" in text


async def test_foreign_secret_is_taken_away_and_told_once(tmp_path: Path) -> None:
    async with secured(tmp_path, LISTENER) as server, server.stream(server.enrol("web-1")) as client:
        with capture_logs() as logs:
            await client.ask(type_url.SECRET, "default", "spiffe://cluster.local/ns/default/sa/vault")
            answer = await client.response()
            await client.ack(answer)
            await client.ask(type_url.LISTENER)
            await client.response()

    told = [entry for entry in logs if entry["event"] == "secret asked for that is not this proxy's"]
    assert [*read(answer)] == ["default"]
    assert list(answer.removed_resources) == ["spiffe://cluster.local/ns/default/sa/vault"]
    assert [entry["names"] for entry in told] == [["spiffe://cluster.local/ns/default/sa/vault"]]
    assert told[0]["principal"] == "spiffe://cluster.local/ns/default/sa/default/node/web-1"


@WAYS
async def test_revoked_node_is_out_until_it_is_enrolled_again(
    way: Authentication, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    async with secured(tmp_path, LISTENER, auth=way) as server:
        node, other = server.enrol("web-1"), server.enrol("web-2")
        async with server.stream(node) as client, server.stream(other) as bystander:
            await secrets_of(client)
            await secrets_of(bystander)
            began = time.monotonic()
            revoke(server.settings.state_dir / "revoked", "web-1.default", utc_now())
            status, text = await client.ending()
            figure(f"revoked ({way}): the stream ended {time.monotonic() - began:.2f} s later")
            assert status is grpc.StatusCode.UNAUTHENTICATED
            assert "revoked" in text
            assert len(server.hub.proxies()) == 1

        async with server.stream(node) as client:
            assert (await client.ending())[0] is grpc.StatusCode.UNAUTHENTICATED
        async with server.stream(server.enrol("web-1")) as client:
            assert await secrets_of(client)


async def test_that_a_node_is_turned_away_is_said_once_by_whatever_connection_it_comes(tmp_path: Path) -> None:
    """It comes back with each report of its metrics, and an Envoy leaves a connection that is refused."""
    async with secured(tmp_path, LISTENER) as server:
        node = server.enrol("web-1")
        async with server.channel(node) as first, server.channel(node) as second:
            client = Client(first, DELTA, node=node.node_id)
            await secrets_of(client)
            revoke(server.settings.state_dir / "revoked", "web-1.default", utc_now())
            await client.ending()
            with capture_logs() as logs:
                for channel in (first, first, first, second):
                    ending = await Client(channel, DELTA, node=node.node_id).ending()
                    assert ending[0] is grpc.StatusCode.UNAUTHENTICATED

    told = [entry["peer"] for entry in logs if entry["event"] == "peer turned away"]
    assert len(told) == 1


def test_that_a_peer_is_turned_away_is_said_again_some_minutes_later(tmp_path: Path) -> None:
    began, minutes, unused = utc_now(), [0], cast("Any", None)
    settings = Settings.of(policies=(tmp_path,), auth=Authentication.TOKEN, state_dir=tmp_path / "state")
    security = Security(settings, unused, unused, unused, clock=lambda: began + timedelta(minutes=minutes[0]))
    told = []
    for minutes[0] in range(12):
        with capture_logs() as logs, pytest.raises(ProtocolViolation):
            security.authenticate(Peer("ipv4:10.0.0.1:4000"))
        told += minutes if logs else []

    assert told == [0, 5, 10]


async def test_revocation_does_not_wait_for_a_worker_that_compiles(tmp_path: Path) -> None:
    async with secured(tmp_path, LISTENER) as server, server.stream(server.enrol("web-1")) as client:
        await secrets_of(client)
        server.worker_is_free.clear()

        revoke(server.settings.state_dir / "revoked", "web-1.default", utc_now())

        assert (await client.ending())[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_expired_node_certificate_is_not_let_in_though_its_connection_is(tmp_path: Path) -> None:
    async with secured(tmp_path, LISTENER) as server:
        node = server.enrol("web-1", lifetime=timedelta(seconds=6))
        async with server.channel(node) as channel:
            client = Client(channel, DELTA, node=node.node_id)
            async with asyncio.timeout(PATIENCE):
                while await _is_served(client):
                    client = Client(channel, DELTA, node=node.node_id)
            status, text = await client.ending()

    assert status is grpc.StatusCode.UNAUTHENTICATED
    assert "out of its time" in text


async def test_old_connection_is_closed(tmp_path: Path) -> None:
    async with secured(tmp_path, LISTENER, max_age=2) as server, server.stream(server.enrol("web-1")) as client:
        await secrets_of(client)

        status, _ = await client.ending()

    assert status is grpc.StatusCode.UNAVAILABLE


async def test_on_plaintext_loopback_a_node_is_believed(tmp_path: Path) -> None:
    """There is nobody else on this machine to be afraid of, or --insecure said so."""
    async with (
        secured(tmp_path, LISTENER, auth=Authentication.NONE) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.listener.port}") as channel,
    ):
        client = Client(channel, DELTA)
        message = _request("sidecar~1.1.1.1~a.shop~shop.svc.cluster.local", SERVICE_ACCOUNT="web")
        message.type_url = type_url.SECRET
        message.resource_names_subscribe.append("default")
        await client.send_bytes(message.SerializeToString())
        served = read(await client.response())

    assert name_in(served["default"]) == "spiffe://cluster.local/ns/shop/sa/web"


async def test_identity_directory_that_is_not_there_is_the_operators_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--identity-dir"):
        async with secured(tmp_path, identity_dir=tmp_path / "none"):
            pass


async def test_files_of_somebody_else_reach_their_workload_and_its_next_ones_too(tmp_path: Path) -> None:
    company, identity = root(utc_now()), SpiffeId("cluster.local", "default", "web")
    place = tmp_path / "ids" / "identity" / "default" / "web"
    first, second = (svid(company, identity, utc_now()) for _ in range(2))
    put(place, first)
    async with (
        secured(tmp_path, LISTENER, identity_dir=tmp_path / "ids") as server,
        server.stream(server.enrol("web-1", service_account="web")) as client,
    ):
        response = await _answered(client)
        assert read(response)["default"].tls_certificate.certificate_chain.inline_bytes == pem(first.certificates)

        put(place, second)

        renewed = read(await client.response())
        assert [*renewed] == ["default"]
        assert renewed["default"].tls_certificate.certificate_chain.inline_bytes == pem(second.certificates)


async def _answered(client: Client) -> Any:
    await client.ask(type_url.SECRET, "default", "ROOTCA")
    response = await client.response()
    await client.ack(response)
    return response


async def test_root_is_rotated_in_three_phases_each_after_every_proxy_has_confirmed(tmp_path: Path) -> None:
    async with secured(tmp_path, LISTENER) as server, server.stream(server.enrol("web-1")) as client:
        await client.ask(type_url.SECRET, "default", "ROOTCA")
        first = await client.response()
        await client.ack(first)
        following = _begin(server)

        both = await client.response()
        assert [*read(both)] == ["ROOTCA"], "believing another root needs no new certificate"
        assert server.security.described()["rotation"] == {
            **_rotation(server), "phase": "trust-both", "waiting_for": [server.hub.proxies()[0].node.id]
        }  # fmt: skip
        await client.ack(both)

        renewed = await client.response()
        assert [*read(renewed)] == ["default"]
        assert _rotation(server)["phase"] == "issue-new"
        await client.ack(renewed)

        last = await client.response()
        assert [*read(last)] == ["ROOTCA"]
        assert _roots(last) == _pem(following)
        assert _rotation(server)["phase"] == "none"


async def test_proxy_that_refuses_a_secret_holds_the_rotation_up(tmp_path: Path) -> None:
    async with secured(tmp_path, LISTENER) as server, server.stream(server.enrol("web-1")) as client:
        await client.ask(type_url.SECRET, "default", "ROOTCA")
        await client.ack(await client.response())
        _begin(server)
        both = await client.response()

        await client.ask(both.type_url, nonce=both.nonce, error="no")
        await until(lambda: server.board.nacks[type_url.SECRET] == 1)

        assert _rotation(server)["phase"] == "trust-both"
        assert _rotation(server)["waiting_for"] == [server.hub.proxies()[0].node.id]


async def test_rotation_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with secured(tmp_path, LISTENER) as server:
        node = server.enrol("web-1")
        async with server.stream(node) as client:
            await client.ask(type_url.SECRET, "default", "ROOTCA")
            await client.ack(await client.response())
            following = _begin(server)
            await client.response()
            assert _rotation(server)["phase"] == "trust-both"

    async with secured(tmp_path, LISTENER) as again, again.stream(node) as client:
        await client.ask(type_url.SECRET, "default", "ROOTCA")
        while (response := await client.response()) is not None:
            if "ROOTCA" in read(response) and _roots(response) == _pem(following):
                break
            await client.ack(response)

        assert _rotation(again)["phase"] == "none"


async def test_disk_that_takes_no_phase_leaves_everybody_served(tmp_path: Path) -> None:
    """A directory in the place of the file fails the rename as a full disk fails the write."""
    async with secured(tmp_path, LISTENER) as server, server.stream(server.enrol("web-1")) as client:
        await client.ask(type_url.SECRET, "default", "ROOTCA")
        await client.ack(await client.response())
        with capture_logs() as logs:
            _begin(server)
            both = await client.response()
            file = server.settings.state_dir / "rotation.json"
            written = file.stat().st_mtime_ns
            file.unlink()
            file.mkdir()
            os.utime(file, ns=(written, written))  # what is there counts as read
            await client.ack(both)
            await until(lambda: any(entry["event"].startswith("rotation of the root waits") for entry in logs))

        async with server.stream(server.enrol("web-2")) as other:
            assert await secrets_of(other)


def _begin(server: Secured) -> Authority:
    following = root(utc_now())
    begin_rotation(server.settings.state_dir, following, utc_now(), timedelta())
    return following


def _rotation(server: Secured) -> dict[str, object]:
    found = server.security.described()["rotation"]
    assert isinstance(found, dict)
    return found


def _roots(response: Any) -> bytes:
    found: bytes = read(response)["ROOTCA"].validation_context.trusted_ca.inline_bytes
    return found


def _pem(authority: Authority) -> bytes:
    return pem(authority.roots)


def _names_of(node: Enrolled) -> list[str]:
    """What somebody might try in order to get a node's secrets."""
    options = node.options
    identity = f"spiffe://cluster.local/ns/{options.namespace}/sa/{options.service_account}"
    return [identity, f"{identity}/node/{options.name}", node.node_id, f"default/{options.name}", f"default~{identity}"]


def _request(node_id: str, **metadata: str) -> Any:
    message = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url.LISTENER)
    message.node.id = node_id
    message.node.metadata.update(metadata)
    return message


async def _is_served(client: Client) -> bool:
    try:
        await client.ask(type_url.LISTENER)
        answer: object = await client.call.read()
    except grpc.aio.AioRpcError:
        return False
    return answer is not grpc.aio.EOF
