"""Settings of MeshConfig that show in a handshake, or in how often names are looked up.

One server with a certificate of the mesh, and a router with one from the secrets directory; peers that offer more or
less than the mesh allows. Where a sidecar sends what it captured is in test_redirect.py.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.builders import istio
from tests.envoy.running import Backend, Control, Envoy, envoy, free_port, until
from tests.envoy.test_gateway import pair
from tests.envoy.test_mtls import client_context
from tests.patience import PATIENCE
from xds_server.bootstrap import NodeOptions
from xds_server.mesh.workload import NodeType
from xds_server.settings import Address

SERVER = "127.0.0.5"
"""Where the sidecar takes what comes in."""
AES_128, AES_256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
"""Of TLS 1.2; of 1.3 no cipher can be chosen."""


@dataclass(frozen=True)
class Peer:
    """What somebody who calls offers: its highest version, its ciphers of TLS 1.2, its only curve."""

    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ciphers: str = f"{AES_128}:{AES_256}"
    curve: str = ""

    def agrees(self, address: tuple[str, int], context: ssl.SSLContext) -> tuple[str, str]:
        """(version, cipher) of the handshake; ("", "") where there is none, by whoever ends it."""
        context.maximum_version = self.version
        context.set_ciphers(self.ciphers)
        if self.curve:
            context.set_ecdh_curve(self.curve)
        with (
            contextlib.suppress(ssl.SSLError, ConnectionResetError),
            socket.create_connection(address, PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="shop.example.com") as connection,
        ):
            return connection.version() or "", (connection.cipher() or ("",))[0]
        return "", ""


NEW, OLD = Peer(), Peer(version=ssl.TLSVersion.TLSv1_2)
WEAK = Peer(ssl.TLSVersion.TLSv1_2, AES_128)


@dataclass(frozen=True)
class Mesh:
    """A sidecar, a router, and what both are told by."""

    directory: Path
    control: Control
    caller: Envoy
    sidecar: tuple[str, int]
    router: tuple[str, int]

    def set(self, spec: str) -> None:
        """Write the mesh's MeshConfig."""
        self.control.write("mesh.yaml", istio("MeshConfig", spec).replace("/v1\n", "/v1alpha1\n"))

    def at_sidecar(self, peer: Peer) -> tuple[str, str]:
        """What comes of a handshake for mesh TLS, with a certificate of the mesh."""
        return peer.agrees(self.sidecar, client_context(self.directory, "spiffe://cluster.local/ns/default/sa/peer"))

    def at_router(self, peer: Peer) -> tuple[str, str]:
        """What comes of one at the gateway."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return peer.agrees(self.router, context)


def policies(app: Backend, port: int, gate: int) -> str:
    """A service behind mesh TLS and one whose name is looked up, a sidecar for the first, and a gateway."""
    ports = f"ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {port}}}]"
    at = f"endpoints: [{{address: {SERVER}, labels: {{app: shop}}, serviceAccount: shop}}]"
    listener = f"port: {{number: {port}, name: http, protocol: HTTP}}, bind: {SERVER}"
    secured = f"port: {{number: {gate}, name: https, protocol: HTTPS}}, tls: {{mode: SIMPLE, credentialName: shop}}"
    return "".join(
        (
            istio("ServiceEntry", f"hosts: [shop], location: MESH_INTERNAL, resolution: STATIC, {ports}, {at}"),
            istio(
                "ServiceEntry",
                "hosts: [named], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}],"
                " endpoints: [{address: localhost}]",
                name="named",
            ),
            istio(
                "Sidecar",
                "workloadSelector: {labels: {app: shop}},"
                f" ingress: [{{{listener}, defaultEndpoint: '127.0.0.1:{app.port}'}}]",
            ),
            istio("PeerAuthentication", "mtls: {mode: STRICT}"),
            istio("Gateway", f"selector: {{istio: ingress}}, servers: [{{{secured}, hosts: ['*']}}]"),
        )
    )


@pytest.fixture(scope="module")
def mesh(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Everything, once both ports are open."""
    directory = tmp_path_factory.mktemp("settings")
    credential = directory / "secrets" / "shop"
    credential.mkdir(parents=True)
    for file, content in zip(("tls.crt", "tls.key"), pair("shop.example.com"), strict=True):
        (credential / file).write_bytes(content)
        (credential / file).chmod(0o600)
    with contextlib.ExitStack() as parts:
        app, port, gate = Backend("shop"), free_port(), free_port()
        parts.callback(app.close)
        state, secrets = str(directory / "state"), str(credential.parent)
        control = Control(directory, "--state-dir", state, "--secrets", secrets)
        parts.callback(control.close)
        control.write("shop.yaml", policies(app, port, gate))
        sidecar = envoy(control, envoy_binary, directory, "shop", account="shop", labels={"app": "shop"})
        parts.callback(sidecar.close)
        caller = envoy(control, envoy_binary, directory, "caller", account="caller")
        parts.callback(caller.close)
        options = NodeOptions(
            name="ingress",
            labels={"istio": "ingress"},
            xds=(Address("127.0.0.1", control.xds_port),),
            admin_port=free_port(),
            node_type=NodeType.ROUTER,
        )
        router = Envoy(envoy_binary, directory, options)
        parts.callback(router.close)
        made = Mesh(directory, control, caller.wait(), (SERVER, port), ("127.0.0.1", gate))
        sidecar.wait()
        router.wait()
        until(lambda: made.at_sidecar(NEW)[0] and made.at_router(NEW)[0], what="both ports are open")
        yield made


def test_both_versions_of_tls_are_spoken_where_nobody_says_otherwise(mesh: Mesh) -> None:
    mesh.set("")

    for answer in (mesh.at_sidecar, mesh.at_router):
        until(lambda answer=answer: answer(NEW)[0] == "TLSv1.3" and answer(OLD)[0] == "TLSv1.2")  # type: ignore[misc]


def test_old_version_is_refused_where_the_mesh_wants_a_newer_one_and_by_nobody_else(mesh: Mesh) -> None:
    mesh.set("meshMTLS: {minProtocolVersion: TLSV1_3}")
    until(lambda: mesh.at_sidecar(OLD) == ("", ""), what="mesh TLS wants 1.3")
    assert mesh.at_sidecar(NEW)[0] == "TLSv1.3"
    assert mesh.at_router(OLD)[0] == "TLSv1.2"

    mesh.set("tlsDefaults: {minProtocolVersion: TLSV1_3}")
    until(lambda: mesh.at_router(OLD) == ("", ""), what="other TLS wants 1.3")
    assert mesh.at_router(NEW)[0] == "TLSv1.3"
    until(lambda: mesh.at_sidecar(OLD)[0] == "TLSv1.2", what="mesh TLS takes 1.2 again")


def test_cipher_is_one_that_the_mesh_allows_or_none(mesh: Mesh) -> None:
    mesh.set(f"meshMTLS: {{cipherSuites: [{AES_256}]}}, tlsDefaults: {{cipherSuites: [{AES_256}]}}")

    for answer in (mesh.at_sidecar, mesh.at_router):
        until(lambda answer=answer: answer(WEAK) == ("", ""), what="the other cipher is refused")  # type: ignore[misc]
        assert answer(OLD) == ("TLSv1.2", AES_256)


def test_curve_is_one_that_the_mesh_allows_but_for_mesh_tls(mesh: Mesh) -> None:
    """Istio's mesh TLS heeds no curves: a warning says so."""
    mesh.set("meshMTLS: {ecdhCurves: [P-384]}, tlsDefaults: {ecdhCurves: [P-384]}")
    of_256, of_384 = Peer(curve="prime256v1"), Peer(curve="secp384r1")

    until(lambda: mesh.at_router(of_256) == ("", ""), what="the other curve is refused")
    assert mesh.at_router(of_384)[0] == "TLSv1.3"
    assert mesh.at_sidecar(of_256)[0] == "TLSv1.3"
    assert [one["field"] for one in mesh.control.problems() if one["code"] == "no-effect"] == [
        "spec.meshMTLS.ecdhCurves"
    ]


def test_sidecars_call_each_other_within_the_limits_of_the_mesh(mesh: Mesh) -> None:
    mesh.set(f"meshMTLS: {{minProtocolVersion: TLSV1_3, cipherSuites: [{AES_256}]}}")
    until(lambda: mesh.at_sidecar(OLD) == ("", ""), what="the limits are in force")

    until(lambda: mesh.caller.call("shop").status == 200, what="a call is through")


def test_names_are_looked_up_as_often_as_the_mesh_says(mesh: Mesh) -> None:
    """Without the setting ten times take most of a minute."""
    attempts = r"^cluster\.outbound\|80\|\|named;\.update_attempt$"
    mesh.set("dnsRefreshRate: 100ms")

    def seconds_for_ten() -> float:
        began, enough = time.monotonic(), sum(mesh.caller.stats(attempts).values()) + 10
        until(lambda: sum(mesh.caller.stats(attempts).values()) >= enough, what="names are looked up")
        return time.monotonic() - began

    until(lambda: seconds_for_ten() < 25, what="names are looked up often")
