"""A real Envoy that proves who it is, gets its certificate over the same stream, and follows what changes."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.envoy.running import Backend, Control, Envoy, free_port, get
from tests.envoy.running import until as blocking_until
from tests.envoy.test_stream import look
from tests.identity.material import root, svid
from tests.patience import PATIENCE
from tests.secured import Enrolled, Secured, caller_of, secured, shown_certificate, tls_listener
from tests.server.loopback import until
from tests.test_cli import run
from xds_server.bootstrap import NodeOptions
from xds_server.identity.authority import key_pem, pem
from xds_server.identity.authority_files import read_authority
from xds_server.identity.revocation import revoke
from xds_server.identity.root_rotation import begin_rotation
from xds_server.identity.svid import uri_names
from xds_server.mesh.identity import SpiffeId
from xds_server.mesh.workload import Interception
from xds_server.security import utc_now
from xds_server.settings import Address, Authentication
from xds_server.xds import type_url


@asynccontextmanager
async def started(binary: Path, node: Enrolled, *arguments: str) -> AsyncIterator[Envoy]:
    """An Envoy with the bootstrap that was written for the node."""
    envoy = Envoy(binary, node.directory, node.options, config=node.directory / "bootstrap.yaml", arguments=arguments)
    try:
        yield envoy
    finally:
        await asyncio.to_thread(envoy.close)


def caller(server: Secured) -> Path:
    """A certificate of the mesh with its key, in one file, for calls to the listener."""
    document = svid(
        read_authority(server.settings.state_dir / "ca", utc_now()),
        SpiffeId("cluster.local", "default", "caller"),
        utc_now(),
    )
    path = server.directory / "caller.pem"
    path.write_bytes(pem(document.certificates) + key_pem(document.key))
    return path


@pytest.mark.parametrize("way", [Authentication.CERTIFICATE, Authentication.TOKEN])
async def test_enrolled_envoy_is_served_and_shows_the_identity_it_proved(
    way: Authentication, envoy_binary: Path, tmp_path: Path
) -> None:
    port = free_port()
    async with secured(tmp_path, tls_listener(port), auth=way) as server:
        node = server.enrol("web-1", service_account="web")
        async with started(envoy_binary, node):
            await look(lambda: bool(shown_certificate(port, caller(server))))

            shown = shown_certificate(port, caller(server))

    assert uri_names(shown) == ["spiffe://cluster.local/ns/default/sa/web"]


async def test_renewal_reaches_envoy_and_sends_one_secret_and_nothing_else(
    envoy_binary: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    port = free_port()
    async with (
        secured(tmp_path, tls_listener(port), certificate_lifetime=4) as server,
        started(envoy_binary, server.enrol("web-1")) as envoy,
    ):
        await look(lambda: bool(shown_certificate(port, caller(server))))
        first = shown_certificate(port, caller(server))
        pushes, sent = dict(server.board.pushes), server.board.sent_bytes

        # One may have been on its way: whoever shows another certificate has not been sent it since for sure.
        await look(lambda: shown_certificate(port, caller(server)) != first and server.board.pushes != pushes)

        renewals = server.board.pushes[type_url.SECRET] - pushes[type_url.SECRET]
        size = (server.board.sent_bytes - sent) / renewals
        figure(f"one renewal costs a proxy 1 response of {size:.0f} bytes with 1 resource; {renewals} looked at")
        assert server.board.pushes.total() - sum(pushes.values()) == renewals
        assert server.board.pushes[type_url.LISTENER] == pushes[type_url.LISTENER]
        stats = await asyncio.to_thread(envoy.stats, "sds.(default|ROOTCA).(update_success|update_rejected)")
        assert stats["sds.default.update_success"] > stats["sds.ROOTCA.update_success"] == 1
        assert stats["sds.default.update_rejected"] == 0


async def test_revoked_envoy_loses_its_stream_and_gets_no_other_until_it_is_enrolled_again(
    envoy_binary: Path, tmp_path: Path
) -> None:
    """Then within seconds, though its connection would last for half an hour and has shown the old certificate."""
    async with secured(tmp_path, tls_listener(free_port())) as server:
        node = server.enrol("web-1")
        async with started(envoy_binary, node):
            await until(lambda: len(server.hub.proxies()) == 1)

            revoke(server.settings.state_dir / "revoked", "web-1.default", utc_now())

            await until(lambda: server.hub.proxies() == ())
            refused = server.board.totals().ended["UNAUTHENTICATED"]
            await until(lambda: server.board.totals().ended["UNAUTHENTICATED"] > refused)
            assert server.hub.proxies() == ()

            server.enrol("web-1")

            await until(lambda: len(server.hub.proxies()) == 1)


async def test_envoys_with_one_credential_are_told_apart_and_revoked_together(
    envoy_binary: Path, tmp_path: Path
) -> None:
    async with secured(tmp_path, tls_listener(free_port()), max_age=1) as server, AsyncExitStack() as replicas:
        node = server.enrol("worker")
        ids = {node.replica(name) for name in ("734536932ea6", "8bfa8024db24")}
        for node_id in ids:
            own = f"admin: {{address: {{socket_address: {{port_value: {free_port()}}}}}}}"
            await replicas.enter_async_context(
                started(envoy_binary, node, "--service-node", node_id, "--config-yaml", own)
            )
        await until(lambda: {proxy.node.id for proxy in server.hub.proxies()} == ids)

        revoke(server.settings.state_dir / "revoked", "worker.default", utc_now())

        await until(lambda: server.hub.proxies() == ())
        refused = server.board.totals().ended["UNAUTHENTICATED"]
        await until(lambda: server.board.totals().ended["UNAUTHENTICATED"] > refused + 1)
        assert server.hub.proxies() == ()


async def test_envoy_of_another_authority_never_gets_past_the_handshake(envoy_binary: Path, tmp_path: Path) -> None:
    async with secured(tmp_path / "other") as other, secured(tmp_path / "this") as server:
        foreign = other.enrol("web-1")
        node = server.enrol("web-1")
        (node.directory / "sds.yaml").write_bytes((foreign.directory / "sds.yaml").read_bytes())
        async with started(envoy_binary, node) as envoy:
            await look(lambda: sum(envoy.stats("cluster.xds-grpc.upstream_cx_(destroy|connect_fail)$").values()) > 1)

            assert server.board.totals().opened == 0
            assert server.board.totals().ended == {}


async def test_renewed_node_certificate_is_used_without_a_restart(envoy_binary: Path, tmp_path: Path) -> None:
    """Enrolling again renames the new pair into place; the next connection shows it."""
    async with secured(tmp_path, tls_listener(free_port()), max_age=1) as server:
        node = server.enrol("web-1")
        async with started(envoy_binary, node):
            await until(lambda: len(server.hub.proxies()) == 1)
            first = server.hub.proxies()[0].peer.certificate

            server.enrol("web-1")

            await until(lambda: any(proxy.peer.certificate != first for proxy in server.hub.proxies()))


async def test_no_handshake_fails_while_the_root_and_the_certificates_change(
    envoy_binary: Path, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Every request is a new connection between the two sides of one Envoy, each of which must believe the other."""
    port, listening = free_port(), free_port()
    async with (
        secured(tmp_path, tls_listener(port), *caller_of(port, listening), certificate_lifetime=16) as server,
        started(envoy_binary, server.enrol("web-1", service_account="web")) as envoy,
    ):
        await look(lambda: get(listening, "/") == "hello")
        old = shown_certificate(port, caller(server))
        with Load(listening) as load:
            await asyncio.to_thread(until_more, load)
            await look(lambda: shown_certificate(port, caller(server)) != old)
            await asyncio.to_thread(until_more, load)
            renewed = len(load.failed), load.served
            begin_rotation(server.settings.state_dir, root(utc_now()), utc_now(), timedelta(seconds=1))
            await until(lambda: "rotation.json" in {path.name for path in server.settings.state_dir.iterdir()})
            await until(lambda: "rotation.json" not in {path.name for path in server.settings.state_dir.iterdir()})
            await asyncio.to_thread(until_more, load)
        stats = await asyncio.to_thread(envoy.stats, "ssl.fail_verify|ssl.connection_error")

        changed = len(load.failed) - renewed[0], load.served - renewed[1]
        for what, (failed, served) in (("a renewal", renewed), ("a rotation of the root", changed)):
            figure(f"handshakes under {what}: {failed} of {failed + served} failed")
        assert load.failed == []
        assert min(renewed[1], changed[1]) > 100
        assert not any(stats.values()), stats
        assert shown_certificate(port, caller(server)).issuer != old.issuer


class Load:
    """Requests one after the other, each counted, until the block ends."""

    def __init__(self, port: int) -> None:
        self.served = 0
        self.failed: list[str] = []
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                get(self._port, "/")
                self.served += 1
            except OSError as error:
                self.failed.append(str(error))


def until_more(load: Load) -> None:
    """Until a hundred more requests were served."""
    enough = load.served + 100
    blocking_until(lambda: load.served > enough, what="requests are served")


def test_server_process_shakes_no_hand_below_tls_1_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRPC_SSL_CIPHER_SUITES", raising=False)  # or it would have it from this process
    state = tmp_path / "state"
    control = Control(tmp_path, "--auth", "certificate", "--state-dir", str(state))
    try:
        run("enroll", "web", "-o", tmp_path, "--state-dir", state)
        node = tmp_path / "web.default"

        assert handshake(control.xds_port, node, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        with pytest.raises(OSError):  # noqa: PT011 - an alert, or the end of the connection
            handshake(control.xds_port, node, ssl.TLSVersion.TLSv1_2)
    finally:
        control.close()


def test_enrolled_envoy_is_served_by_the_server_process_and_a_stranger_is_not(
    envoy_binary: Path, tmp_path: Path
) -> None:
    state, backend = tmp_path / "state", Backend("hello")
    control = Control(tmp_path, "--auth", "certificate", "--state-dir", str(state))
    options = NodeOptions(
        name="web",
        interception=Interception.NONE,
        http_proxy_port=free_port(),
        admin_port=free_port(),
        xds=(Address("127.0.0.1", control.xds_port),),
    )
    run("enroll", "web", "-o", tmp_path, "--mode", "none", "--http-proxy-port", options.http_proxy_port, "--admin-port",
        options.admin_port, "--xds-address", f"127.0.0.1:{control.xds_port}", "--state-dir", state)  # fmt: skip
    control.write("hello.yaml", SERVICE.format(port=backend.port))
    stranger = Envoy(envoy_binary, tmp_path, replace(options, admin_port=free_port(), http_proxy_port=free_port()))
    envoy = Envoy(envoy_binary, tmp_path, options, config=tmp_path / "web.default" / "bootstrap.yaml")
    try:
        blocking_until(lambda: envoy.call("hello").body == "hello", what="the enrolled Envoy serves")
        turned_away = "cluster.xds-grpc.upstream_cx_(destroy|connect_fail)$"
        blocking_until(lambda: any(stranger.stats(turned_away).values()), what="the other has tried to connect")
        shown = control.debug("/debug/ca")

        assert stranger.stats("control_plane.connected_state") == {"control_plane.connected_state": 0}
        assert isinstance(shown, dict)
        assert shown["trust_domain"] == "cluster.local"
        assert "PRIVATE" not in str(shown)
    finally:
        for part in (envoy, stranger, control, backend):
            part.close()


SERVICE = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: hello}}
spec:
  hosts: [hello]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
"""


def handshake(port: int, node: Path, version: ssl.TLSVersion) -> str | None:
    """The version that a client with a node's certificate comes to speak, if it speaks only this one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(node / "ca.pem")
    context.load_cert_chain(node / "tls.crt", node / "tls.key")
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="xds-server") as connection,
    ):
        return connection.version()
