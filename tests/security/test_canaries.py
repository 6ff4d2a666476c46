"""No key leaves its place: each is known to the test, all that can go wrong with keys goes wrong, then all is searched.

A server process with its log at debug, real Envoys, and peers that say what no Envoy would.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import re
import secrets
import shutil
import ssl
import stat
import urllib.error
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc

from tests.envoy.running import Control, Envoy, free_port, get, until
from tests.identity.material import root, svid
from tests.identity.test_identity_files import put
from tests.security.canary import Canary, found
from tests.server.loopback import DELTA, Client
from tests.test_cli import run
from xds_server.bootstrap import NodeOptions
from xds_server.debug.pages import ENDPOINTS
from xds_server.identity.authority import new_key, new_root
from xds_server.identity.authority_files import write_authority
from xds_server.identity.principal import CONTROL_PLANE_DNS
from xds_server.mesh.identity import KeyKind, SpiffeId
from xds_server.security import utc_now
from xds_server.settings import Address
from xds_server.xds import type_url

POLICIES = """\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gate}}
spec:
  selector: {{istio: ingress}}
  servers:
  - {{port: {{number: {good}, name: good, protocol: HTTPS}}, hosts: ["*"], tls: {{mode: SIMPLE, credentialName: good}}}}
  - {{port: {{number: {rsa}, name: rsa, protocol: HTTPS}}, hosts: ["*"], tls: {{mode: SIMPLE, credentialName: rsa}}}}
  - {{port: {{number: {weak}, name: weak, protocol: HTTPS}}, hosts: ["*"], tls: {{mode: SIMPLE, credentialName: weak}}}}
  - {{port: {{number: {bad}, name: bad, protocol: HTTPS}}, hosts: ["*"], tls: {{mode: SIMPLE, credentialName: bad}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shop}}
spec:
  hosts: [shop]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, serviceAccount: shop}}]
---
kind: MeshConfig
extensionProviders:
- name: collector
  zipkin:
    service: shop
    port: 80
    headers:
    - {{name: x-token, envName: COLLECTOR_TOKEN}}
    - {{name: x-written, value: {header}}}
- {{name: oap, skywalking: {{service: shop, port: 80, accessToken: {token}}}}}
defaultProviders: {{tracing: [collector]}}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: gate}}
spec:
  selector: {{matchLabels: {{istio: ingress}}}}
  tracing: [{{providers: [{{name: oap}}]}}]
"""


RECORDER = """\
import os, pathlib
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

def recorded(made):
    def making(*args, **kwargs):
        key = made(*args, **kwargs)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = pathlib.Path(os.environ["KEYS_MADE"], f"{os.getpid()}-{os.urandom(8).hex()}.pem")
        path.write_bytes(pem)
        return key
    return making

for kind in (ec, rsa):
    kind.generate_private_key = recorded(kind.generate_private_key)
"""
"""Python reads it at the start of every process: it writes down keys that are meant never to leave a process."""


@dataclass
class Site:
    """The running mesh and what was gathered from it.

    Attributes:
        key_kind: of the keys that the server makes for workloads, and of the authority to come.
        canaries: all secrets, by where they stand.
        said: what must not give any of them away, by where it was said.
        own: the same of Envoy itself, which quotes what it refuses in its own log.
    """

    directory: Path
    way: str
    key_kind: KeyKind
    canaries: list[Canary] = field(default_factory=list)
    said: dict[str, bytes] = field(default_factory=dict)
    own: dict[str, bytes] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The server's state directory."""
        return self.directory / "state"

    def key(self, name: str, path: Path) -> None:
        """Look for the private key in this file."""
        self.canaries.append(Canary.of_key(name, path))

    def record(self, patch: pytest.MonkeyPatch) -> None:
        """Have each key written down that a process of ours makes from now on."""
        for name in ("recorder", "made"):
            (self.directory / name).mkdir()
        (self.directory / "recorder" / "sitecustomize.py").write_text(RECORDER)
        patch.setenv("PYTHONPATH", f"{self.directory / 'recorder'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        patch.setenv("KEYS_MADE", str(self.directory / "made"))

    def recorded(self, port: int) -> None:
        """Look for these keys too, by name for that of the xDS port, which is in memory alone."""
        shown = x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode())
        for path in sorted((self.directory / "made").iterdir()):
            key = load_pem_private_key(path.read_bytes(), None)
            is_the_ports = key.public_key() == shown.public_key()
            self.key("port key" if is_the_ports else f"key made by {path.stem}", path)

    def run(self, *command: object) -> None:
        """Run `xds-server` and keep what it says."""
        done = run(*command)
        self.said[f"xds-server {command[0]} {len(self.said)}"] = (done.stdout + done.stderr).encode()

    def enrol(self, name: str, *options: object) -> Path:
        """Enrol a node; its directory."""
        token = ("--token",) if self.way == "token" else ()
        self.run("enroll", name, "-o", self.directory, "--state-dir", self.state, *options, *token)
        directory = self.directory / f"{name}.default"
        for public in ("bootstrap.yaml", "ca.pem"):
            self.said[f"{name}/{public}"] = (directory / public).read_bytes()
        if self.way == "token":
            signature = (directory / "token").read_text().rpartition(".")[2]
            self.canaries.append(Canary(f"token of {name}", (base64.urlsafe_b64decode(signature + "=="),)))
        else:
            self.key(f"node key of {name}", directory / "tls.key")
        return directory


def pair(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> tuple[bytes, bytes]:
    """A self-signed certificate of the key, and the key."""
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")]), utc_now()
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM), pem


def tokens(site: Site, patch: pytest.MonkeyPatch) -> dict[str, str]:
    """What collectors know their clients by: one in the server's environment, where a file put it, two in policies."""
    found = {name: secrets.token_hex(24) for name in ("environment", "header", "token")}
    site.canaries += [Canary(f"collector's {name}", (text.encode(),)) for name, text in found.items()]
    in_environment = found.pop("environment")
    patch.setenv("COLLECTOR_TOKEN", in_environment)
    (site.directory / "server.env").write_text(f"COLLECTOR_TOKEN={in_environment}\n")
    return found


def keep(site: Site, name: str, certificate: bytes, key: bytes) -> None:
    """A credential for gateways."""
    place = site.directory / "secrets" / name
    place.mkdir(parents=True)
    for file, content in (("tls.crt", certificate), ("tls.key", key)):
        (place / file).write_bytes(content)
        (place / file).chmod(0o600)
    site.key(f"gateway's {name}", place / "tls.key")


def furnish(site: Site) -> None:
    """Put keys wherever the server or an operator keeps them."""
    company = root(utc_now())
    put(
        site.directory / "ids" / "identity" / "default" / "files",
        svid(company, SpiffeId("cluster.local", "default", "files"), utc_now()),
    )
    site.key("identity file", site.directory / "ids" / "identity" / "default" / "files" / "tls.key")
    put(
        site.directory / "ids" / "workload" / "default" / "chosen",
        svid(company, SpiffeId("cluster.local", "default", "chosen"), utc_now()),
    )
    site.key("identity file of one workload", site.directory / "ids" / "workload" / "default" / "chosen" / "tls.key")
    good, _ = pair(ec.generate_private_key(ec.SECP256R1()))
    keep(site, "good", *pair(ec.generate_private_key(ec.SECP256R1())))
    keep(site, "bad", good, pair(ec.generate_private_key(ec.SECP256R1()))[1])
    keep(site, "rsa", *pair(rsa.generate_private_key(65537, 2048)))
    # Envoy refuses it: "only RSA certificates with 2048-bit or larger keys are supported".
    keep(site, "weak", *pair(rsa.generate_private_key(65537, 1024)))  # noqa: S505 - that is what it is for
    write_authority(site.directory / "next", new_root("mesh", "cluster.local", utc_now(), key=new_key(site.key_kind)))
    site.key("authority to come", site.directory / "next" / "ca-key.pem")


@contextlib.asynccontextmanager
async def peer(site: Site, port: int, node: Path | None, name: str) -> AsyncIterator[tuple[Client, grpc.aio.Channel]]:
    """A stream with the node's credentials that says it is `name`."""
    token = node / "token" if node else None
    metadata = (("authorization", f"Bearer {token.read_text()}"),) if token and token.exists() else ()
    key = node / "tls.key" if node else None
    shown = (key.read_bytes(), key.with_suffix(".crt").read_bytes()) if key and key.exists() else (None, None)
    credentials = grpc.ssl_channel_credentials((site.state / "node-ca" / "root-cert.pem").read_bytes(), *shown)
    options = [("grpc.ssl_target_name_override", CONTROL_PLANE_DNS), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        yield (
            Client(channel, DELTA, node=f"sidecar~127.0.0.1~{name}~default.svc.cluster.local", metadata=metadata),
            channel,
        )


async def misbehave(site: Site, control: Control, node: Path) -> None:
    """Ask for secrets of others, refuse one's own and quote them, be somebody else, and be nobody."""
    async with peer(site, control.xds_port, node, "peer.default") as (client, channel):
        leaf = await quoted_secret(client, "spiffe://cluster.local/ns/default/sa/files", "good")
        (site.directory / "leaf.pem").write_bytes(leaf)
        site.key("workload key", site.directory / "leaf.pem")
        await client.ask(type_url.CLUSTER)
        clusters = await client.response()
        await client.ask(clusters.type_url, nonce=clusters.nonce, error=f"no such field: {leaf.decode()}")
        await asyncio.to_thread(until, lambda: "no such field" in get(control.debug_port, "/debug/syncz"))
        stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(channel)
        metadata = (("authorization", f"Bearer {(node / 'token').read_text()}"),) if site.way == "token" else ()
        status = await stub.FetchClientStatus(csds_pb2.ClientStatusRequest(), metadata=metadata)
        assert status.config
        await asyncio.to_thread(read_pages, site, control, "with the peer")
        site.said["client status"] = status.SerializeToString() + str(status).encode()
    async with peer(site, control.xds_port, node, "files.default") as (client, _):
        await client.ask(type_url.SECRET, "default")
        site.said["refusal of another's node"] = (await refusal(client)).encode()
    for told, who in (("nobody", None), ("a forger", forged(site, node))):
        async with peer(site, control.xds_port, who, "peer.default") as (client, _):
            site.said[f"refusal of {told}"] = (await refusal(client)).encode()


async def misbehave_with_files(site: Site, control: Control, node: Path) -> None:
    """Refuse a key that is in a file for this workload alone, and quote it."""
    async with peer(site, control.xds_port, node, "chosen.default") as (client, _):
        leaf = await quoted_secret(client)
        assert leaf == (site.directory / "ids" / "workload" / "default" / "chosen" / "tls.key").read_bytes()
        await asyncio.to_thread(until, lambda: "chosen.default" in get(control.debug_port, "/debug/syncz"))
        await asyncio.to_thread(read_pages, site, control, "with the chosen")


async def quoted_secret(client: Client, *foreign: str) -> bytes:
    """Ask for one's secrets, and for foreign ones, and refuse what comes with all of it in the reason; the key."""
    await client.ask(type_url.SECRET, "default", "ROOTCA", *foreign)
    answer = await client.response()
    sent = [secret_pb2.Secret.FromString(resource.resource.value) for resource in answer.resources]
    await client.ask(answer.type_url, nonce=answer.nonce, error=f"Failed to load private key: {sent}")
    (leaf,) = (one.tls_certificate.private_key.inline_bytes for one in sent if one.name == "default")
    return bytes(leaf)


async def refusal(client: Client) -> str:
    """How the server ends the stream of somebody whom it does not believe."""
    status, text = await client.ending()
    assert status is not grpc.StatusCode.OK
    return f"{status} {text} {await client.call.debug_error_string()}"


def forged(site: Site, node: Path) -> Path:
    """The node's directory, with credentials that nobody signed."""
    copy = site.directory / "forged"
    shutil.copytree(node, copy)
    if site.way == "token":
        text = (copy / "token").read_text()
        (copy / "token").write_text(text[:-8] + "AAAAAAAA")
    else:
        certificate, key = pair(ec.generate_private_key(ec.SECP256R1()))
        (copy / "tls.crt").write_bytes(certificate)
        (copy / "tls.key").write_bytes(key)
    return copy


def break_files(site: Site, control: Control) -> None:
    """Pairs that are none, half a key, a rotation that cannot be read, authorities that are of no use."""
    key = site.directory / "ids" / "identity" / "default" / "files" / "tls.key"
    whole = key.read_bytes()
    with told_of(control, b"identity not renewed"):
        key.write_bytes((site.directory / "secrets" / "good" / "tls.key").read_bytes())
    with told_of(control, b"identity not renewed"):
        key.write_bytes(whole[:120])
    key.write_bytes(whole)
    with told_of(control, b"authority not taken up"):
        (site.state / "rotation.json").write_text("{")
    (site.state / "rotation.json").unlink()
    for name, spoil in SPOILT.items():
        copy = site.directory / name
        shutil.copytree(site.state, copy)
        spoil(copy / "ca" / "ca-key.pem")
        site.run("serve", control.policies, "--state-dir", copy, "--log-level", "debug")
    with told_of(control, b"trust-both"):
        site.run("ca", "rotate", "--state-dir", site.state, "--to", site.directory / "next", "--grace", "0")


def _halve(key: Path) -> None:
    key.write_bytes(key.read_bytes()[:120])


def _exchange(key: Path) -> None:
    key.write_bytes((key.parent.parent / "node-ca" / "ca-key.pem").read_bytes())


SPOILT: dict[str, Callable[[Path], None]] = {"loose": lambda key: key.chmod(0o644), "half": _halve, "other": _exchange}
"""What makes a state directory one that no server starts on."""


@contextlib.contextmanager
def told_of(control: Control, event: bytes) -> Iterator[None]:
    """Wait until what is done in the block is in the server's log."""
    seen = control.log_file.stat().st_size
    yield
    until(lambda: event in control.log_file.read_bytes()[seen:], what=f"the log tells: {event.decode()}")


def read_pages(site: Site, control: Control, when: str) -> None:
    """Every page of the debug port, with the dump of each proxy, and pages that are not there."""
    pages = {endpoint.path for endpoint in ENDPOINTS} | {"/", "/nowhere", "/debug/config_dump?proxyID=nobody"}
    connected = re.findall(r"(?:sidecar|router)~[^\"]+", get(control.debug_port, "/debug/syncz"))
    for page in sorted(pages | {f"/debug/config_dump?proxyID={node}" for node in connected}):
        try:
            site.said[f"{page} {when}"] = get(control.debug_port, page).encode()
        except urllib.error.HTTPError as error:
            site.said[f"{page} {when}"] = error.read()


def gather(site: Site, control: Control, envoys: dict[str, Envoy]) -> None:
    """What else there is to read of the server, and what the Envoys say."""
    directory = ("--secrets", site.directory / "secrets")
    site.run("check", control.policies, *directory)
    for name in envoys:
        site.run(
            "render", control.policies, "--node", site.directory / f"{name}.default" / "bootstrap.yaml", *directory
        )
    site.said["/proc/cmdline"] = Path(f"/proc/{control.pid}/cmdline").read_bytes()
    variables = Path(f"/proc/{control.pid}/environ").read_bytes().split(b"\0")
    site.said["/proc/environ"] = b"\0".join(each for each in variables if not each.startswith(b"COLLECTOR_TOKEN="))
    for path in (site.directory / "tmp").rglob("*"):
        if path.is_file():
            site.said[f"tmp/{path.name}"] = path.read_bytes()
    for name, envoy in envoys.items():
        for page in ("/config_dump?include_eds", "/certs", "/stats", "/clusters"):
            site.own[f"{name}{page}"] = get(envoy.admin_port, page).encode()


@pytest.fixture(
    scope="module",
    params=[("certificate", "json", KeyKind.EC_P256), ("token", "console", KeyKind.RSA_2048)],
    ids=lambda param: str(param[0]),
)
def site(
    request: pytest.FixtureRequest, envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """After all of it, with the server stopped; once for each way of proof and form of the log."""
    way, log_format, key_kind = request.param
    site = Site(tmp_path_factory.mktemp("canaries"), way, key_kind)
    (site.directory / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as parts:
        patch.setenv("TMPDIR", str(site.directory / "tmp"))
        site.record(patch)
        site.run("enroll", "first", "-o", site.directory, "--state-dir", site.state)
        for name in ("ca", "node-ca"):
            site.key(name, site.state / name / "ca-key.pem")
        furnish(site)
        tokens_written = tokens(site, patch)
        control = Control(
            site.directory, "--auth", way, "--log-level", "debug", "--log-format", log_format,
            *("--state-dir", str(site.state), "--identity-dir", str(site.directory / "ids")),
            *("--secrets", str(site.directory / "secrets"), "--key-type", str(key_kind)),
        )  # fmt: skip
        parts.callback(control.close)
        ports = {name: free_port() for name in ("good", "rsa", "weak", "bad")}
        control.write("policies.yaml", POLICIES.format(**ports, **tokens_written))
        envoys = {
            "gate": started(site, control, envoy_binary, "gate", "--type", "router", "--label", "istio=ingress"),
            "files": started(site, control, envoy_binary, "files", "--service-account", "files", "--mode", "none"),
        }
        for envoy in envoys.values():
            parts.callback(envoy.close)
        until(lambda: b"response refused by proxy" in control.log_file.read_bytes(), what="Envoy refuses a secret")
        break_files(site, control)
        # Last: what a peer refuses goes out of force, and with it the need for keys.
        asyncio.run(misbehave_with_files(site, control, site.enrol("chosen", "--service-account", "chosen")))
        asyncio.run(misbehave(site, control, site.enrol("peer")))
        site.run("revoke", "peer", "--state-dir", site.state)
        read_pages(site, control, "at the end")
        gather(site, control, envoys)
        site.recorded(control.xds_port)
        parts.close()
        site.said["log"] = control.log_file.read_bytes()
        site.own |= {f"{name}.log": (site.directory / f"{name}.log").read_bytes() for name in envoys}
        yield site


def started(site: Site, control: Control, binary: Path, name: str, *options: str) -> Envoy:
    """A real Envoy as an enrolled node."""
    ports = NodeOptions(name=name, admin_port=free_port(), xds=(Address("127.0.0.1", control.xds_port),))
    directory = site.enrol(name, *options, "--admin-port", ports.admin_port, "--xds-address", str(ports.xds[0]))
    return Envoy(binary, site.directory, ports, config=directory / "bootstrap.yaml")


def test_no_key_is_anywhere_in_what_the_server_says(site: Site, figure: Callable[[str], None]) -> None:
    """Logs, pages, dumps, metrics, client status, errors, refusals, files in passing: of no key a piece."""
    assert found(site.canaries, site.said) == []

    size = sum(map(len, site.said.values()))
    pieces = sum(len(one.pieces) for one in site.canaries)
    lines = site.said["log"].count(b"\n")
    own = found(site.canaries, site.own)
    figure(
        f"canaries ({site.way}): {len(site.canaries)} secrets in {pieces} pieces, searched in {len(site.said)} places "
        f"of {size / 1e3:.0f} kB, {lines} log lines: 0 found; in what Envoy itself says: {len(own)} {own}"
    )


def test_what_was_searched_is_what_went_wrong(site: Site) -> None:
    """A search in silence finds nothing: each mishap left its mark."""
    log = site.said["log"]

    names = {one.name for one in site.canaries}
    kinds = {len(one.secrets) for one in site.canaries if one.name == "workload key" or one.name.startswith("key made")}
    assert len(("d", "p", "q")) in kinds or site.key_kind is KeyKind.EC_P256, "RSA keys that the server made were seen"
    assert {"port key", "workload key", "identity file", "identity file of one workload"} <= names
    dumped = b"".join(text for place, text in site.said.items() if "config_dump" in place)
    assert all(text in dumped for text in (b"x-token", b"x-written", b"backend_token"))
    rendered = b"".join(text for place, text in site.said.items() if place.startswith("xds-server render"))
    assert rendered.count(base64.b64encode(b"[redacted]")) == len(("good", "rsa", "weak"))
    for told in (
        b"refused the secret",
        b"is not this proxy's",
        b"turned away",
        b"not taken up",
        b"revoked",
        b"[redacted",
    ):
        assert told in log, told
    assert b"tls.key is not the key of tls.crt" in site.said["/debug/problems at the end"]
    assert b"SecretsConfigDump" in b"".join(text for page, text in site.said.items() if "config_dump" in page)
    refused = [text for name, text in site.said.items() if name.startswith("xds-server serve")]
    assert [b"ca-key.pem" in text or b"cannot be used" in text for text in refused] == [True] * len(SPOILT)


def test_every_key_is_found_where_it_stands(site: Site) -> None:
    """The search sees each in the file that holds it."""
    held = {str(path): path.read_bytes() for path in site.directory.rglob("*") if path.is_file()}

    assert {name for name, _ in found(site.canaries, held)} == {one.name for one in site.canaries}


def test_only_their_owner_may_read_keys(site: Site) -> None:
    """Every file of the state directory and of enrolled nodes is 0600, every directory 0700."""
    places = [
        site.state,
        *(site.directory / f"{name}.default" for name in ("first", "gate", "files", "chosen", "peer")),
    ]
    paths = list(itertools.chain(places, *(place.rglob("*") for place in places)))

    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
