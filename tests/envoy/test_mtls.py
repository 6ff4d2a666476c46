"""Mesh TLS in real packets: who is served and who is not, between real Envoys and from callers without one.

One sidecar serves every kind of port in every mode, another calls. The modes come from one PeerAuthentication by port.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from tests.envoy.running import Backend, Control, Envoy, envoy, free_port, until
from tests.patience import PATIENCE
from xds_server.identity.authority import Leaf, key_pem, new_key, new_root, pem, sign
from xds_server.identity.authority_files import read_authority
from xds_server.identity.root_rotation import CURRENT

SERVER = "127.0.0.2"
"""Where the serving sidecar takes what comes in; the applications listen on 127.0.0.1."""
MODES = ("PERMISSIVE", "STRICT")
KINDS = ("http", "grpc", "tcp", "auto-http", "auto-grpc", "auto-tcp")
HELLO = b"hello world\n"
"""Ends a line: a detecting listener waits for more of what might be the first line of HTTP."""
PROTOCOLS = {"http": "HTTP", "grpc": "GRPC", "tcp": "TCP"}


class Echo:
    """A TCP server that answers each message with itself, in capitals."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1024):
                connection.sendall(data.upper())

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


class GrpcEcho:
    """A gRPC server whose one method answers each message with itself, in capitals."""

    def __init__(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(lambda request, _: request.upper())
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Say": handler})])
        self.port: int = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def close(self) -> None:
        """Stop at once."""
        self._server.stop(None)


@dataclass(frozen=True)
class Served:
    """One port of the serving sidecar and the service on it.

    Attributes:
        host: of the service, which has port 80, or for connections `number` at `virtual_ip`.
        port: at `SERVER`.
    """

    host: str
    kind: str
    mode: str
    app: int
    virtual_ip: str
    port: int = field(default_factory=free_port)
    number: int = field(default_factory=free_port)

    @property
    def protocol(self) -> str:
        """What the ServiceEntry declares."""
        return PROTOCOLS.get(self.kind, "")

    def policies(self, account: str = "server") -> str:
        """The ServiceEntry."""
        number = self.number if self.kind.endswith("tcp") else 80
        protocol = f", protocol: {self.protocol}" if self.protocol else ""
        return f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {self.host}, namespace: shop}}
spec:
  hosts: [{self.host}]
  addresses: [{self.virtual_ip}]
  ports: [{{number: {number}, name: main{protocol}}}]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints: [{{address: {SERVER}, ports: {{main: {self.port}}}, labels: {{app: server}}, serviceAccount: {account}}}]
---
"""

    def ingress(self) -> str:
        """What the Sidecar says of the port."""
        protocol = self.protocol or '""'
        return (
            f"  - port: {{number: {self.port}, name: p{self.port}, protocol: {protocol}}}\n"
            f"    bind: {SERVER}\n    defaultEndpoint: 127.0.0.1:{self.app}\n"
        )


@dataclass(frozen=True)
class Mesh:
    """The running mesh of this module."""

    control: Control
    caller: Envoy
    server: Envoy
    web: Backend
    served: dict[tuple[str, str], Served]
    directory: Path

    def say(self, kind: str, mode: str) -> str:
        """What the application answers the caller's "hello" through both sidecars."""
        served = self.served[kind, mode]
        if kind.endswith("http"):
            answer = self.caller.call(served.host)
            return answer.body if answer.status == 200 else str(answer.status)
        if kind.endswith("grpc"):
            return grpc_say(f"127.0.0.1:{self.caller.proxy_port}", f"{served.host}:80")
        return tcp_say((served.virtual_ip, served.number))

    def handshakes(self, kind: str, mode: str) -> int:
        """Mesh TLS handshakes on the port so far."""
        port = self.served[kind, mode].port
        return sum(self.server.stats(rf"^listener\.{SERVER}_{port}\.ssl\.handshake$").values())


def grpc_say(address: str, authority: str) -> str:
    """The answer of a gRPC server, or its status."""
    with grpc.insecure_channel(address, options=[("grpc.default_authority", authority)]) as channel:
        try:
            answer: bytes = channel.unary_unary("/test.Echo/Say")(HELLO, timeout=PATIENCE)
        except grpc.RpcError as error:
            return str(error.code())
        return answer.decode()


def tcp_say(address: tuple[str, int]) -> str:
    """The answer of an echo server, "" when the connection is closed instead."""
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        with contextlib.suppress(ConnectionResetError):
            connection.sendall(HELLO)
            return connection.recv(1024).decode()
        return ""


def plain_say(kind: str, port: int) -> str:
    """The same by a caller without a sidecar, straight to the port."""
    if kind.endswith("grpc"):
        return grpc_say(f"{SERVER}:{port}", "anything")
    if kind.endswith("tcp"):
        return tcp_say((SERVER, port))
    connection = http.client.HTTPConnection(SERVER, port, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except (ConnectionResetError, http.client.RemoteDisconnected):
        return ""
    finally:
        connection.close()


def sidecar(name: str, namespace: str, *ports: Served) -> str:
    """The Sidecar of a workload with label `app: name`."""
    return f"""\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  workloadSelector: {{labels: {{app: {name}}}}}
  ingress:
{"".join(port.ingress() for port in ports)}
---
"""


def peer_authentication(*ports: Served) -> str:
    """The mode of each port of the serving sidecar."""
    modes = ", ".join(f"{one.port}: {{mode: {one.mode}}}" for one in ports)
    return f"""\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: server, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  portLevelMtls: {{{modes}}}
"""


ANSWERS = {"http": "web", "grpc": HELLO.decode().upper(), "tcp": HELLO.decode().upper()}


def answer_of(kind: str) -> str:
    return ANSWERS[kind.removeprefix("auto-")]


@pytest.fixture(scope="module")
def mesh(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Both sidecars, with the policies in force."""
    directory = tmp_path_factory.mktemp("mtls")
    with contextlib.ExitStack() as parts:
        web, echo, rpc = Backend("web"), Echo(), GrpcEcho()
        for backend in (web, echo, rpc):
            parts.callback(backend.close)
        apps = {"http": web.port, "grpc": rpc.port, "tcp": echo.port}
        served = {
            (kind, mode): Served(
                host=f"{kind}-{mode}".lower(),
                kind=kind,
                mode=mode,
                app=apps[kind.removeprefix("auto-")],
                virtual_ip=f"127.0.3.{number}",
            )
            for number, (kind, mode) in enumerate(
                [*((kind, mode) for kind in KINDS for mode in MODES), ("http", "DISABLE")], start=1
            )
        }
        control = Control(directory, "--state-dir", str(directory / "state"))
        parts.callback(control.close)
        ports = tuple(served.values())
        services = "".join(one.policies() for one in ports)
        control.write("mesh.yaml", services + sidecar("server", "shop", *ports) + peer_authentication(*ports))
        server = envoy(
            control, envoy_binary, directory, "server", namespace="shop", account="server", labels={"app": "server"}
        )
        parts.callback(server.close)
        caller = envoy(control, envoy_binary, directory, "caller", namespace="shop", account="caller")
        parts.callback(caller.close)
        mesh = Mesh(control, caller.wait(), server.wait(), web, served, directory)
        until(lambda: mesh.say("http", "STRICT") == "web", what="mesh TLS carries the first request")
        yield mesh


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_sidecars_speak_mesh_tls_whatever_is_inside(mesh: Mesh, kind: str, mode: str) -> None:
    """HTTP/1.1, HTTP/2 and plain bytes, declared or detected."""
    assert mesh.say(kind, mode) == answer_of(kind)
    assert mesh.handshakes(kind, mode) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_caller_without_a_sidecar_is_served_where_permissive(mesh: Mesh, kind: str) -> None:
    """A mesh moves over service by service: who has no identity yet is still served."""
    assert plain_say(kind, mesh.served[kind, "PERMISSIVE"].port) == answer_of(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_caller_without_a_sidecar_is_refused_where_strict(mesh: Mesh, kind: str) -> None:
    """No answer of any kind: the connection is reset."""
    assert plain_say(kind, mesh.served[kind, "STRICT"].port) in {"", "StatusCode.UNAVAILABLE"}


def test_mode_of_one_port_leaves_the_others_as_they_are(mesh: Mesh) -> None:
    """DISABLE on one port of a sidecar that is STRICT on another: everybody speaks plainly there, sidecars too."""
    port = mesh.served["http", "DISABLE"].port

    assert mesh.say("http", "DISABLE") == "web"
    assert mesh.handshakes("http", "DISABLE") == 0
    assert plain_say("http", port) == "web"


def test_application_is_told_who_called(mesh: Mesh) -> None:
    """Only mesh TLS proves a name; what a caller says of itself is taken away."""
    forged = {"x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/shop/sa/admin"}
    mesh.caller.call(mesh.served["http", "STRICT"].host, headers=forged)
    by_sidecar = mesh.web.behaviour.requests[-1][2]
    connection = http.client.HTTPConnection(SERVER, mesh.served["http", "PERMISSIVE"].port, timeout=PATIENCE)
    connection.request("GET", "/", headers=forged)
    connection.getresponse().read()
    connection.close()
    by_nobody = mesh.web.behaviour.requests[-1][2]

    assert "URI=spiffe://cluster.local/ns/shop/sa/caller" in by_sidecar["x-forwarded-client-cert"]
    assert "admin" not in by_sidecar["x-forwarded-client-cert"]
    assert "x-forwarded-client-cert" not in by_nobody


def test_server_with_another_name_is_refused(mesh: Mesh) -> None:
    """The caller checks that the endpoint is who the service says it is, not just some member of the mesh."""
    served = mesh.served["http", "STRICT"]
    impostor = Served("impostor", "http", "STRICT", served.app, "127.0.4.1", port=served.port)
    mesh.control.write("impostor.yaml", impostor.policies(account="somebody-else"))

    def refused_by_name() -> int:
        """Handshakes that failed for the name alone; a call meets the endpoint only once its listener has it."""
        assert mesh.caller.call("impostor").status >= 500  # never served, whatever the caller has been told by now
        return sum(mesh.caller.stats("impostor.*ssl.fail_verify_san$").values())

    until(refused_by_name, what="the caller sees through the impostor")


@pytest.mark.parametrize(
    ("trust_domain", "served"), [("cluster.local", True), ("other.example", False), ("cluster.local.evil", False)]
)
def test_caller_of_another_trust_domain_is_refused(mesh: Mesh, trust_domain: str, served: bool) -> None:
    """Even with a certificate of the same authority."""
    context = client_context(mesh.directory, f"spiffe://{trust_domain}/ns/shop/sa/caller")

    assert (_tls_say(context, mesh.served["http", "STRICT"].port) != b"") == served


def test_refused_caller_is_told_of_in_the_log_of_the_server(mesh: Mesh) -> None:
    """Under TLS 1.3 the caller cannot know why: its own handshake was over."""
    _tls_say(
        client_context(mesh.directory, "spiffe://refused.example/ns/shop/sa/caller"), mesh.served["http", "STRICT"].port
    )
    log = mesh.directory / "server.log"

    until(lambda: "spiffe://refused.example/" in log.read_text(), what="the refusal is logged")
    (line,) = (line for line in log.read_text().splitlines() if "spiffe://refused.example/" in line)
    assert "connection refused" in line
    assert "SAN" in line


def client_context(directory: Path, uri: str) -> ssl.SSLContext:
    """A caller with a certificate that the mesh's authority signed for `uri`, and mesh ALPN.

    `directory` is where the server's `state` is.
    """
    now = datetime.now(UTC)
    authority, key = read_authority(directory / "state" / CURRENT, now), new_key()
    certificate = sign(authority, key.public_key(), Leaf(uri, timedelta(hours=1)), now)
    path = directory / "caller.pem"
    path.write_bytes(pem([certificate]) + key_pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(path)
    context.set_alpn_protocols(["istio-http/1.1"])
    return context


def _tls_say(context: ssl.SSLContext, port: int) -> bytes:
    """What comes back of an HTTP request, b"" when the connection is closed instead."""
    with (
        contextlib.suppress(ssl.SSLError, ConnectionResetError),
        socket.create_connection((SERVER, port), PATIENCE) as plain,
        context.wrap_socket(plain) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        return connection.recv(1024)
    return b""


def test_pooled_connections_are_left_when_an_endpoint_comes_to_mesh_tls(mesh: Mesh) -> None:
    """Without losing a request: the endpoint's identity is written down while it is called."""
    served = mesh.served["http", "PERMISSIVE"]
    moving = Served("moving", "http", "PERMISSIVE", served.app, "127.0.4.2", port=served.port)
    mesh.control.write("moving.yaml", moving.policies().replace(", serviceAccount: server", ""))
    until(lambda: mesh.caller.call("moving").status == 200, what="the service is there")
    statuses: list[int] = []

    def moved() -> bool:
        statuses.append(mesh.caller.call("moving").status)
        return "x-forwarded-client-cert" in mesh.web.behaviour.requests[-1][2]

    assert not moved()
    mesh.control.write("moving.yaml", moving.policies())
    until(moved, what="requests go by mesh TLS")
    mesh.control.write("moving.yaml", moving.policies().replace(", serviceAccount: server", ""))
    until(lambda: not moved(), what="requests go without it again")

    assert set(statuses) == {200}


def test_owners_document_closes_the_mesh_and_its_removal_opens_it(mesh: Mesh, envoy_binary: Path) -> None:
    """`mode: STRICT` alone in a file, without a namespace; connections of sidecars are not touched."""
    one = Served("owned", "http", "", mesh.web.port, "127.0.4.3")
    service = one.policies().replace("namespace: shop", "namespace: default")
    mesh.control.write("owned.yaml", service + sidecar("owned", "default", one))
    server = envoy(mesh.control, envoy_binary, mesh.directory, "owned", account="server", labels={"app": "owned"})
    try:
        until(lambda: plain_say("http", one.port) == "web", what="a plain caller is served")
        until(lambda: mesh.caller.call("owned").status == 200, what="a sidecar is served")
        strict = mesh.control.write("strict.yaml", OWNERS_DOCUMENT)
        until(lambda: plain_say("http", one.port) == "", what="a plain caller is refused")

        assert mesh.caller.calls(20, "owned") == {"web": 20}
        strict.unlink()
        until(lambda: plain_say("http", one.port) == "web", what="a plain caller is served again")
    finally:
        server.close()


def is_by_mesh_tls(mesh: Mesh, host: str) -> bool:
    """Whether the server's proxy was told by a certificate who sent a request."""
    assert mesh.caller.call(host).status == 200
    return "x-forwarded-client-cert" in mesh.web.behaviour.requests[-1][2]


def test_policies_without_namespaces_open_one_port_of_the_workloads_that_they_select(
    mesh: Mesh, envoy_binary: Path
) -> None:
    """Plain on one port, strict on the other; a workload of another namespace stays strict, whatever its labels are."""
    plain, strict = (Served(host, "http", "", mesh.web.port, "127.0.4.4") for host in ("bare-plain", "bare-strict"))
    elsewhere = mesh.served["http", "STRICT"]
    services = "".join(one.policies() for one in (plain, strict)).replace("namespace: shop", "namespace: default")
    ports = "".join(f"    {port}: {{mode: DISABLE}}\n" for port in (plain.port, elsewhere.port))
    by_port = f"{OWNERS_DOCUMENT.replace('name: default', 'name: server')}  portLevelMtls:\n{ports}".replace(
        "  mtls: {mode: STRICT}", "  selector: {matchLabels: {app: server}}"
    )
    written = mesh.control.write(
        "bare.yaml", f"{services}{sidecar('server', 'default', plain, strict)}{OWNERS_DOCUMENT}---\n{by_port}"
    )
    server = envoy(mesh.control, envoy_binary, mesh.directory, "bare", account="server", labels={"app": "server"})
    try:
        until(lambda: plain_say("http", plain.port) == "web", what="a plain caller is served on one port")
        until(lambda: mesh.caller.call(strict.host).status == 200, what="a sidecar is served on the other")

        assert plain_say("http", strict.port) == ""
        assert plain_say("http", elsewhere.port) == ""
        until(lambda: not is_by_mesh_tls(mesh, plain.host), what="sidecars speak plainly on the one")
        assert is_by_mesh_tls(mesh, strict.host)
        assert mesh.caller.calls(5, plain.host) == {"web": 5}
    finally:
        server.close()
        written.unlink()


BANK = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {port}}}}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host}}}
spec: {{host: {host}, trafficPolicy: {{tls: {{{tls}}}}}}}
"""
"""A service outside the mesh, and how it is called."""


class Bank:
    """An HTTPS server outside the mesh, called "bank" by an authority of its own; it may ask for a certificate.

    Attributes:
        files: names of PEM files by what stands in them: CA, OTHER (an authority that signed nothing here), CERT, KEY.
    """

    def __init__(self, directory: Path, *, asks: bool) -> None:
        directory.mkdir()
        now = datetime.now(UTC)
        root, other = (new_root(name, "bank", now, key=new_key()) for name in ("bank", "other"))
        key = new_key()
        leaf = Leaf("spiffe://bank/bank", timedelta(hours=1), dns_names=("bank",))
        certificate = pem([sign(root, key.public_key(), leaf, now)])
        texts = {"CA": pem(root.roots), "OTHER": pem(other.roots), "CERT": certificate, "KEY": key_pem(key)}
        self.files = {name: str(directory / f"{name}.pem") for name in texts}
        for name, text in texts.items():
            Path(self.files[name]).write_bytes(text)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.files["CERT"], self.files["KEY"])
        if asks:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.files["CA"])
        self.backend = Backend("bank", tls=context)

    def policies(self, host: str, tls: str) -> str:
        """The service, and a rule with this tls section (YAML flow, with names of `files` in it)."""
        for name, path in self.files.items():
            tls = tls.replace(f"<{name}>", path)
        return BANK.format(host=host, port=self.backend.port, tls=tls)


SIMPLE = "mode: SIMPLE, caCertificates: <CA>"
MUTUAL = "mode: MUTUAL, clientCertificate: <CERT>, privateKey: <KEY>, caCertificates: <CA>, sni: bank"


@pytest.mark.parametrize(
    ("host", "tls", "asks", "status"),
    [
        ("bank", SIMPLE, False, 200),
        ("not-the-bank", SIMPLE, False, 503),
        ("named", f"{SIMPLE}, sni: bank, subjectAltNames: [bank]", False, 200),
        ("misnamed", f"{SIMPLE}, sni: bank, subjectAltNames: [thief]", False, 503),
        ("other-authority", "mode: SIMPLE, caCertificates: <OTHER>, sni: bank", False, 503),
        ("not-verified", "mode: SIMPLE, insecureSkipVerify: true", False, 200),
        ("no-file", "mode: SIMPLE, caCertificates: /no/such/file", False, 503),
        ("credential", "mode: SIMPLE, credentialName: bank", False, 503),
        ("mutual", MUTUAL, True, 200),
        ("nothing-shown", f"{SIMPLE}, sni: bank", True, 503),
    ],
)
def test_rule_says_how_a_service_outside_is_called(mesh: Mesh, host: str, tls: str, status: int, *, asks: bool) -> None:
    """From files of the proxy, and never in plaintext. Without a name of its own, what the request says is checked."""
    bank = Bank(mesh.directory / host, asks=asks)
    mesh.control.write(f"outside-{host}.yaml", bank.policies(host, tls))
    try:
        until(lambda: mesh.caller.stats(f"cluster.outbound.80..{host};"), what="the cluster is there")
        until(lambda: mesh.caller.call(host).status == status, what=f"{host} is answered {status}")
    finally:
        bank.backend.close()

    assert bank.backend.count == (1 if status == 200 else 0)


def test_file_that_a_proxy_cannot_read_is_told_at_the_rule_that_names_it(mesh: Mesh) -> None:
    """And the rule stays: without it the service would be called in plaintext."""
    mesh.control.write("unread.yaml", BANK.format(host="unread", port=1, tls="mode: SIMPLE, caCertificates: /not/here"))
    (problem,) = until(
        lambda: [one for one in mesh.control.problems() if one["file"] == "unread.yaml"], what="the refusal is told"
    )

    assert (problem["kind"], problem["name"], problem["severity"]) == ("DestinationRule", "unread", "warning")
    assert f"{problem['file']}:{problem['line']}" == "unread.yaml:10"
    assert "file-root:/not/here" in problem["message"]
    assert mesh.caller.call("unread").status == 503


OWNERS_DOCUMENT = """\
apiVersion: security.istio.io/v1beta1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRICT}
"""
