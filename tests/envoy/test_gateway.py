"""Routers that real clients come in by, over plain HTTP and over TLS."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.envoy.running import Backend, Control, Envoy, envoy, free_port, until
from tests.patience import PATIENCE
from xds_server.bootstrap import NodeOptions
from xds_server.mesh.workload import NodeType
from xds_server.settings import Address

HOST = "shop.example.com"


@dataclass(frozen=True)
class Router:
    """A server with a secrets directory, and a router under it."""

    directory: Path
    control: Control
    envoy: Envoy
    backend: Backend
    secrets: Path

    def open(self, name: str, server: str, routes: str = "", *, hosts: str = HOST) -> int:
        """Open a port of the router by this server (YAML flow) with PORT for its number; gives the port."""
        port = free_port()
        self.control.write(
            f"{name}.yaml",
            f"apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}}}\n"
            f"spec: {{selector: {{istio: ingress}}, servers: [{server.replace('PORT', str(port))}]}}\n---\n"
            f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\n"
            f"spec: {{hosts: [{hosts}], gateways: [{name}], "
            f"{routes or 'http: [{route: [{destination: {host: shop, port: {number: 80}}}]}]'}}}\n",
        )
        return port

    def keep(self, name: str, certificate: bytes, key: bytes, roots: bytes = b"") -> None:
        """Put a credential into the secrets directory, the key first as careless tools do."""
        folder = self.secrets / name
        folder.mkdir(exist_ok=True)
        for file, content in (("tls.key", key), ("tls.crt", certificate), ("ca.crt", roots)):
            (folder / file).write_bytes(content)
            (folder / file).chmod(0o600)


def pair(name: str = HOST) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(called, called, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    return certificate.public_bytes(Encoding.PEM), key.private_bytes(*form)


@pytest.fixture(scope="module")
def router(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Router]:
    """One router, on which each test opens ports of its own."""
    directory = tmp_path_factory.mktemp("router")
    secrets = directory / "secrets"
    secrets.mkdir()
    backend = Backend("shop")
    control = Control(directory, "--secrets", str(secrets))
    control.write(
        "services.yaml",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: shop}\n"
        "spec: {hosts: [shop], location: MESH_INTERNAL, resolution: STATIC, "
        "ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], "
        f"endpoints: [{{address: 127.0.0.1, ports: {{http: {backend.port}, tls: {backend.port}}}}}]}}\n",
    )
    options = NodeOptions(
        name="ingress",
        labels={"istio": "ingress"},
        xds=(Address("127.0.0.1", control.xds_port),),
        admin_port=free_port(),
        node_type=NodeType.ROUTER,
    )
    envoy = Envoy(envoy_binary, directory, options)
    try:
        yield Router(directory, control, envoy.wait(), backend, secrets)
    finally:
        envoy.close()
        control.close()
        backend.close()


def ask(port: int, host: str = HOST, *, context: ssl.SSLContext | None = None) -> tuple[int, str]:
    """Status and body, or Location of a redirect, of a GET for `host`, over TLS with a `context`."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.sock = context.wrap_socket(raw, server_hostname=host) if context else raw
    try:
        connection.request("GET", "/", headers={"host": host})
        answer = connection.getresponse()
        body = answer.read().decode()
        return answer.status, answer.getheader("location") or body
    finally:
        connection.close()


def trusting(certificate: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate.decode())


def test_request_is_routed_by_its_host(router: Router) -> None:
    port = router.open("plain", f"{{port: {{number: PORT, name: http, protocol: HTTP}}, hosts: [{HOST}]}}")

    until(lambda: ask(port) == (200, "shop"))

    assert ask(port, "other.example.com")[0] == 404


def test_plain_request_is_sent_to_https(router: Router) -> None:
    server = f"{{port: {{number: PORT, name: http, protocol: HTTP}}, hosts: [{HOST}], tls: {{httpsRedirect: true}}}}"
    port = router.open("redirect", server)

    assert until(lambda: ask(port)) == (301, f"https://{HOST}/")


def test_bytes_go_by_a_rule_for_a_wider_host_than_the_server_has(router: Router) -> None:
    rule = "tcp: [{route: [{destination: {host: shop, port: {number: 443}}}]}]"
    server = "{port: {number: PORT, name: tcp, protocol: TCP}, hosts: [tcp.example.com]}"
    port = router.open("bytes", server, rule, hosts="'*'")

    assert until(lambda: ask(port)) == (200, "shop")


def test_ports_that_its_own_service_brings_together_are_served_together(router: Router) -> None:
    port = free_port()
    ports = ", ".join(f"{{number: {n}, name: p{n}, protocol: HTTP, targetPort: {port}}}" for n in (8000, 8001))
    servers = ", ".join(
        f"{{port: {{number: {n}, name: p{n}, protocol: HTTP}}, hosts: [h{n}.example.com]}}" for n in (8000, 8001)
    )
    api = "---\napiVersion: networking.istio.io/v1\n"
    router.control.write(
        "together.yaml",
        f"{api}kind: ServiceEntry\nmetadata: {{name: own}}\nspec: {{hosts: [own], ports: [{ports}],"
        " resolution: STATIC, location: MESH_INTERNAL, workloadSelector: {labels: {istio: ingress}}}\n"
        f"{api}kind: Gateway\nmetadata: {{name: together}}\n"
        f"spec: {{selector: {{istio: ingress}}, servers: [{servers}]}}\n"
        f"{api}kind: VirtualService\nmetadata: {{name: together}}\n"
        "spec: {hosts: ['*.example.com'], gateways: [together],"
        " http: [{match: [{port: 8001}], route: [{destination: {host: shop, port: {number: 80}}}]}]}\n",
    )

    until(lambda: ask(port, "h8001.example.com") == (200, "shop"))

    assert ask(port, "h8000.example.com")[0] == 404


def test_cipher_that_envoy_does_not_know_closes_no_server(router: Router) -> None:
    certificate, key = pair()
    router.keep("ciphers", certificate, key)
    suites = "cipherSuites: [CAESAR, ECDHE-ECDSA-AES128-GCM-SHA256]"
    tls = f"tls: {{mode: SIMPLE, credentialName: ciphers, httpsRedirect: true, {suites}}}"
    server = f"{{port: {{number: PORT, name: https, protocol: HTTPS}}, hosts: [{HOST}], {tls}}}"
    port = router.open("ciphers", server)

    until(lambda: ask(port, context=trusting(certificate)) == (200, "shop"))


def test_tls_ends_at_the_router_and_a_new_certificate_needs_no_restart(router: Router) -> None:
    """Both files are written one after the other: until they belong together, the old pair is served."""
    first, second = pair(), pair()
    router.keep("shop", *first)
    tls = "tls: {mode: SIMPLE, credentialName: shop}"
    server = f"{{port: {{number: PORT, name: https, protocol: HTTPS}}, hosts: [{HOST}], {tls}}}"
    port = router.open("simple", server)
    until(lambda: ask(port, context=trusting(first[0])) == (200, "shop"))
    router.keep("shop", *second)

    until(lambda: ask(port, context=trusting(second[0])) == (200, "shop"))

    dump = str(
        router.control.debug(
            "/debug/config_dump?proxyID=" + "router~127.0.0.1~ingress.default~default.svc.cluster.local"
        )
    )
    assert "PRIVATE KEY" not in dump


def test_client_must_show_a_certificate_that_is_believed(router: Router) -> None:
    (own, own_key), (client, client_key) = pair(), pair("client")
    router.keep("mutual", own, own_key, client)
    tls = "tls: {mode: MUTUAL, credentialName: mutual}"
    server = f"{{port: {{number: PORT, name: https, protocol: HTTPS}}, hosts: [{HOST}], {tls}}}"
    port = router.open("mutual", server)
    known, stranger = trusting(own), trusting(own)
    files = router.directory / "client.crt", router.directory / "client.key"
    files[0].write_bytes(client)
    files[1].write_bytes(client_key)
    known.load_cert_chain(*files)

    until(lambda: ask(port, context=known) == (200, "shop"))

    with pytest.raises((OSError, http.client.HTTPException)):
        ask(port, context=stranger)


def test_server_without_its_certificate_is_closed_and_opens_when_it_comes(router: Router) -> None:
    certificate, key = pair()
    tls = "tls: {mode: SIMPLE, credentialName: late}"
    server = f"{{port: {{number: PORT, name: https, protocol: HTTPS}}, hosts: [{HOST}], {tls}}}"
    port = router.open("late", server)
    until(lambda: [found for found in router.control.problems() if found["code"] == "unknown-credential"])
    with pytest.raises(OSError, match="refused"):
        ask(port)
    router.keep("late", certificate, key)

    until(lambda: ask(port, context=trusting(certificate)) == (200, "shop"))


def test_tls_is_passed_on_by_server_name(router: Router) -> None:
    """The certificate that the client sees is the application's."""
    with behind_tls(router.directory, "pass.example.com") as (application, certificate):
        router.control.write(
            "passed.yaml",
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: passed}\n"
            "spec: {hosts: [pass.example.com], resolution: STATIC, ports: [{number: 443, name: tls, protocol: TLS}], "
            f"endpoints: [{{address: 127.0.0.1, ports: {{tls: {application}}}}}]}}\n",
        )
        server = '{port: {number: PORT, name: tls, protocol: TLS}, hosts: ["*.example.com"], tls: {mode: PASSTHROUGH}}'
        rule = "tls: [{match: [{sniHosts: [pass.example.com]}], route: [{destination: {host: pass.example.com}}]}]"
        port = router.open("passthrough", server, rule, hosts="pass.example.com")

        until(lambda: ask(port, "pass.example.com", context=trusting(certificate)) == (200, "pass.example.com"))


@contextmanager
def behind_tls(directory: Path, name: str) -> Iterator[tuple[int, bytes]]:
    """An application that speaks TLS itself, by that name: its port and its certificate."""
    certificate, key = pair(name)
    files = directory / f"{name}.crt", directory / f"{name}.key"
    files[0].write_bytes(certificate)
    files[1].write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    application = Backend(name)
    try:
        yield _tls_in_front(application.port, context), certificate
    finally:
        application.close()


def _tls_in_front(port: int, context: ssl.SSLContext) -> int:
    """A server that ends TLS and hands the bytes to `port`; gives its own port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client = context.wrap_socket(listening.accept()[0], server_side=True)
            except OSError:
                continue
            upstream = socket.create_connection(("127.0.0.1", port))
            for source, sink in ((client, upstream), (upstream, client)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    found: int = listening.getsockname()[1]
    return found


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def test_calls_leave_by_an_egress_router_which_begins_tls(router: Router, envoy_binary: Path) -> None:
    """The caller speaks plain HTTP to the name of an outside service; the router sends it on by TLS, and checks it."""
    certificate, key = pair("ext.example.com")
    files = router.directory / "ext.crt", router.directory / "ext.key"
    files[0].write_bytes(certificate)
    files[1].write_bytes(key)
    outside = Backend("outside")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    far, way_out = _tls_in_front(outside.port, context), free_port()
    one = "apiVersion: networking.istio.io/v1\nkind: {}\nmetadata: {{name: {}}}\nspec: {{{}}}\n---\n"
    by_mesh = "{match: [{gateways: [mesh]}], route: [{destination: {host: way-out, port: {number: 80}}}]}"
    by_router = "{match: [{gateways: [way-out]}], route: [{destination: {host: ext.example.com, port: {number: 80}}}]}"
    router.control.write(
        "egress.yaml",
        one.format(
            "ServiceEntry",
            "ext",
            "hosts: [ext.example.com], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], "
            f"endpoints: [{{address: 127.0.0.1, ports: {{http: {far}}}}}]",
        )
        + one.format(
            "ServiceEntry",
            "way-out",
            "hosts: [way-out], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], "
            f"endpoints: [{{address: 127.0.0.1, ports: {{http: {way_out}}}}}]",
        )
        + one.format(
            "Gateway",
            "way-out",
            "selector: {istio: ingress}, servers: "
            f"[{{port: {{number: {way_out}, name: http, protocol: HTTP}}, hosts: [ext.example.com]}}]",
        )
        + one.format(
            "VirtualService",
            "ext",
            f"hosts: [ext.example.com], gateways: [mesh, way-out], http: [{by_mesh}, {by_router}]",
        )
        + one.format(
            "DestinationRule",
            "ext",
            f"host: ext.example.com, trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: {files[0]}}}}}",
        ),
    )
    caller = envoy(router.control, envoy_binary, router.directory, "caller")
    try:
        until(lambda: caller.wait().call("ext.example.com").body == "outside", what="the way out is open")

        assert outside.behaviour.requests[-1][2]["host"] == "ext.example.com"
        assert sum(router.envoy.stats(r"cluster\.outbound.*ext.*upstream_rq_2xx").values()) > 0
    finally:
        caller.close()
        outside.close()


def test_client_may_come_without_a_certificate_but_not_with_a_wrong_one(router: Router) -> None:
    """OPTIONAL_MUTUAL; with insecureSkipVerify a wrong one is let in too."""
    own, own_key = pair()
    router.keep("optional", own, own_key, pair("somebody else")[0])
    stranger = showing(router.directory, trusting(own), *pair("stranger"))

    def opened(name: str, more: str = "") -> int:
        tls = f"tls: {{mode: OPTIONAL_MUTUAL, credentialName: optional{more}}}"
        return router.open(name, f"{{port: {{number: PORT, name: https, protocol: HTTPS}}, hosts: [{HOST}], {tls}}}")

    checking, indifferent = opened("optional"), opened("indifferent", ", insecureSkipVerify: true")

    until(lambda: ask(checking, context=trusting(own)) == (200, "shop"))
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(checking, context=stranger)
    until(lambda: ask(indifferent, context=stranger) == (200, "shop"))


def showing(directory: Path, context: ssl.SSLContext, certificate: bytes, key: bytes) -> ssl.SSLContext:
    """The same, showing a certificate."""
    files = directory / "shown.crt", directory / "shown.key"
    files[0].write_bytes(certificate)
    files[1].write_bytes(key)
    context.load_cert_chain(*files)
    return context


def test_only_the_mesh_comes_in_by_mesh_tls(router: Router, envoy_binary: Path) -> None:
    """ISTIO_MUTUAL: the router shows its own identity, and asks for one."""
    server = '{port: {number: PORT, name: mesh, protocol: HTTPS}, hosts: ["*"], tls: {mode: ISTIO_MUTUAL}}'
    port = router.open("mesh-only", server, hosts="edge")
    router.control.write(
        "edge.yaml",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: edge}\n"
        "spec: {hosts: [edge], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], "
        f"endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]}}\n---\n"
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: edge}\n"
        "spec: {host: edge, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, "
        "subjectAltNames: ['spiffe://cluster.local/ns/default/sa/default']}}}\n",
    )
    caller = envoy(router.control, envoy_binary, router.directory, "caller-of-edge").wait()
    stranger = ssl.create_default_context()
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE

    try:
        until(lambda: caller.call("edge").body == "shop", what="a workload of the mesh comes in")
    finally:
        caller.close()
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(port, "edge", context=stranger)


def test_mesh_tls_is_passed_on_to_the_service_that_it_names(router: Router) -> None:
    """AUTO_PASSTHROUGH: no VirtualService says so, and nothing but mesh TLS gets through."""
    with behind_tls(router.directory, "inner") as (application, _):
        router.control.write(
            "inner.yaml",
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: inner}\n"
            "spec: {hosts: [inner.local], location: MESH_INTERNAL, resolution: STATIC, "
            f"ports: [{{number: 80, name: http, protocol: HTTP}}], endpoints: [{{address: 127.0.0.1, "
            f"ports: {{http: {application}}}}}]}}\n",
        )
        server = '{port: {number: PORT, name: tls, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}'
        port = router.open("by-name", server)

        def asked(alpn: str) -> tuple[int, str]:
            caller = ssl.create_default_context()
            caller.check_hostname, caller.verify_mode = False, ssl.CERT_NONE
            caller.set_alpn_protocols([alpn])
            return ask(port, "outbound_.80_._.inner.local", context=caller)

        until(lambda: asked("istio-http/1.1") == (200, "inner"))
        with pytest.raises((OSError, http.client.HTTPException)):
            asked("h2")
