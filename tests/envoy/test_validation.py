"""A real Envoy says what it would refuse before any proxy sees it; the policy at fault is kept out, nothing else."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import grpc
import pytest
from envoy_data_plane.envoy.config.cluster import v3 as cluster_v3
from envoy_data_plane.envoy.config.core import v3 as core_v3
from envoy_data_plane.envoy.config.listener import v3 as listener_v3
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3
from typer.testing import CliRunner

from tests.builders import documents
from tests.envoy.running import Backend, Control, Envoy, envoy, until
from tests.envoy.test_traffic import routes, rule, service
from tests.patience import PATIENCE
from tests.server.loopback import DELTA, Client
from tests.test_cli import run
from xds_server.admission import Admission
from xds_server.bootstrap import Api
from xds_server.cli import app
from xds_server.identity.principal import CONTROL_PLANE_DNS
from xds_server.mesh.workload import workload
from xds_server.pipeline import Generation, Pipeline
from xds_server.policy.document import Document, PolicySet, precedence
from xds_server.problem import Problem
from xds_server.translate.encode import any_of, encode
from xds_server.translate.endpoint import address
from xds_server.translate.static_bootstrap import static_bootstrap
from xds_server.translate.tcp_proxy import TcpTarget, tcp_proxy
from xds_server.translate.unit import Unit, UnitKind
from xds_server.validation.envoy import Outcome, Verdict, validate
from xds_server.validation.validator import Validator, find_validator
from xds_server.xds import type_url

BAD_HEADER = "[{route: [{destination: {host: HOST}}], headers: {request: {set: {x-a: '%NO_SUCH_COMMAND%'}}}}]"
BAD_REGEX = "[{match: [{uri: {regex: '(x{1,50}){1,19}'}}], route: [{destination: {host: HOST}}]}]"
BAD_RING = "{loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 9000000}}}}"
GOOD_ROUTE = "[{route: [{destination: {host: HOST}}]}]"


def shop(host: str, http: str = GOOD_ROUTE, policy: str = "{connectionPool: {tcp: {connectTimeout: 1s}}}") -> str:
    """A service with a DestinationRule and a VirtualService."""
    entry = f"""\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {host}}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  location: MESH_INTERNAL
  resolution: STATIC
  endpoints: [{{address: 10.0.0.1}}]
---
"""
    return entry + rule(host, policy) + routes(host, http.replace("HOST", host))


def policies(texts: Iterable[tuple[str, str]]) -> PolicySet:
    """The documents of (name, text), each text in a file of its own."""
    found = (document for name, text in texts for document in documents(text, file=f"{name}.yaml"))
    return PolicySet(tuple(sorted(found, key=precedence)))


async def admitted(*sets: PolicySet) -> tuple[Generation, Validator]:
    """The last of several states of the policies, each admitted after the one before; Envoy may take its time."""
    found = await find_validator()
    assert isinstance(found, Validator)
    validator = Validator(partial(validate, Path(found.name), time_limit=PATIENCE))
    with ThreadPoolExecutor(1) as worker, pytest.MonkeyPatch.context() as patch:
        patch.setattr("xds_server.admission.TIME_LIMIT", 10 * PATIENCE)
        admission = Admission(Pipeline(), worker, validator)
        for each in sets:
            generation = await admission.admit(each)
    return generation, validator


def refused(generation: Generation) -> list[Problem]:
    """What Envoy refuses of it."""
    return [problem for problem in generation.problems if problem.code == "refused-by-envoy"]


async def test_one_bad_among_a_thousand_is_found_in_fifteen_runs(envoy_binary: Path) -> None:
    """All new units are asked at once, halved until one is left, and asked once more without the policy at fault."""
    names = [f"s{number}" for number in range(1000)]
    state = policies((name, shop(name, BAD_HEADER if name == "s617" else GOOD_ROUTE)) for name in names)

    generation, validator = await admitted(state)

    (problem,) = refused(generation)
    assert (problem.file, problem.kind, problem.name) == ("s617.yaml", "VirtualService", "s617")
    assert "Not supported field in StreamInfo: NO_SUCH_COMMAND" in problem.message
    assert len(generation.policies.documents) == 2999
    assert sum(validator.runs.values()) <= 15


async def test_several_bad_documents_are_all_found(envoy_binary: Path) -> None:
    names = [f"s{number}" for number in range(20)]
    bad = {"s3", "s11", "s12"}

    generation, _ = await admitted(policies((n, shop(n, BAD_HEADER if n in bad else GOOD_ROUTE)) for n in names))

    assert {problem.name for problem in refused(generation)} == bad
    assert len(generation.policies.documents) == 57


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        (shop("a", BAD_HEADER), "VirtualService", "Not supported field in StreamInfo: NO_SUCH_COMMAND"),
        (shop("a", BAD_REGEX), "VirtualService", "RE2 program size of 1941 > max program size of 100"),
        (shop("a", policy=BAD_RING), "DestinationRule", "MinimumRingSize: value must be less than or equal to 8388608"),
    ],
    ids=["header value", "regex", "ring size"],
)
async def test_blame_falls_on_the_document_that_says_it(text: str, kind: str, reason: str, envoy_binary: Path) -> None:
    """A unit is made from three documents; the two that are innocent stay in force."""
    generation, _ = await admitted(policies([("a", text), ("b", shop("b"))]))

    (problem,) = refused(generation)
    assert (problem.kind, problem.name) == (kind, "a")
    assert reason in problem.message
    assert len(generation.policies.documents) == 5


LOGS = """\
apiVersion: mesh.istio.io/v1alpha1
kind: MeshConfig
metadata: {name: mesh}
spec:
  extensionProviders:
  - {name: first, envoyFileAccessLog: {path: /dev/stdout}}
  - {name: second, envoyFileAccessLog: {path: /dev/stderr}}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: all}
spec:
  accessLogging: [{providers: [{name: first}], filter: {expression: 'response.code >= '}}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: some}
spec:
  selector: {matchLabels: {app: a}}
  accessLogging: [{providers: [{name: second}], filter: {expression: 'response.code < '}}]
"""
"""Two filters that Envoy refuses, which come together in the listeners of workloads with the label app=a."""


async def test_two_bad_documents_in_one_listener_are_kept_out_and_no_other(envoy_binary: Path) -> None:
    """Envoy refuses it for either, and would take it without the MeshConfig that has these logs, or the service."""
    labelled = shop("a").replace("{address: 10.0.0.1}", "{address: 10.0.0.1, labels: {app: a}}")

    generation, validator = await admitted(policies([("logs", LOGS), ("a", labelled)]))

    found = {problem.name: problem.message for problem in refused(generation)}
    assert set(found) == {"all", "some"}
    assert "| response.code >= |" in found["all"]
    assert "| response.code < |" in found["some"]
    kinds = sorted(document.kind for document in generation.policies.documents)
    assert kinds == ["DestinationRule", "MeshConfig", "ServiceEntry", "VirtualService"]
    assert sum(validator.runs.values()) <= 25


async def test_two_bad_documents_in_one_virtual_host_are_each_told_their_own_fault(envoy_binary: Path) -> None:
    other = routes("a", BAD_REGEX.replace("HOST", "a")).replace("name: a", "name: other")

    generation, _ = await admitted(policies([("a", shop("a", BAD_HEADER)), ("b", other)]))

    found = {problem.name: problem.message for problem in refused(generation)}
    assert set(found) == {"a", "other"}
    assert "NO_SUCH_COMMAND" in found["a"]
    assert "RE2 program size" in found["other"]
    assert sorted(document.kind for document in generation.policies.documents) == ["DestinationRule", "ServiceEntry"]


async def test_an_edit_to_one_service_takes_one_run(envoy_binary: Path) -> None:
    """What is known to be valid is not validated anew: three units are, whatever the size of the mesh."""
    names = [f"s{number}" for number in range(100)]
    before = policies((name, shop(name)) for name in names)
    edited = documents(shop("s7", policy="{connectionPool: {tcp: {connectTimeout: 2s}}}"), file="s7.yaml")

    _, validator = await admitted(before, _with(before, edited))

    assert sum(validator.runs.values()) == 2


async def test_the_last_good_form_stays_in_force_until_the_text_changes(envoy_binary: Path) -> None:
    good = policies([("a", shop("a"))])
    bad = _with(good, documents(shop("a", BAD_HEADER), file="a.yaml"))
    mended = _with(good, documents(shop("a", GOOD_ROUTE), file="a.yaml"))

    held, _ = await admitted(good, bad)
    released, _ = await admitted(good, bad, mended)

    in_force = {document.kind: document for document in held.policies.documents}
    assert in_force["VirtualService"] in good.documents
    assert "the form before it stays in force" in refused(held)[0].message
    assert not refused(released)
    assert set(released.policies.documents) == set(mended.documents)


def _with(state: PolicySet, edited: list[Document]) -> PolicySet:
    """`state` with some documents replaced by those of the same names."""
    new = {document.key: document for document in edited}
    return replace(state, documents=tuple(new.get(document.key, document) for document in state.documents))


def check(directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`xds-server check` of a directory."""
    command = [sys.executable, "-m", "xds_server", "check", str(directory), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_check_says_what_envoy_refuses_with_file_and_line(envoy_binary: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(shop("a", BAD_HEADER))

    asked, unasked = check(tmp_path, "-o", "json"), check(tmp_path, "-o", "json", "--no-validation")

    assert (asked.returncode, asked.stderr) == (1, "")
    (problem,) = json.loads(asked.stdout)
    assert (problem["file"], problem["line"], problem["code"]) == ("a.yaml", 18, "refused-by-envoy")
    assert (unasked.returncode, unasked.stdout, unasked.stderr) == (0, "[]\n", "")


def test_check_says_when_envoy_could_not_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(shop("a"))
    monkeypatch.setattr("xds_server.validation.validator.find_envoy", lambda _: None)

    done = CliRunner().invoke(app, ["check", str(tmp_path)])

    assert done.exit_code == 0
    assert "What Envoy itself would refuse was not checked: " in done.stderr


async def test_mesh_tls_passes_without_any_secret(envoy_binary: Path) -> None:
    """Certificates come later and by themselves; validate mode would crash on asking for one over ADS."""
    ads = core_v3.ConfigSource(ads=core_v3.AggregatedConfigSource(), resource_api_version=core_v3.ApiVersion.V3)
    secret = tls_v3.SdsSecretConfig(name="default", sds_config=ads)
    common = tls_v3.CommonTlsContext(tls_certificate_sds_secret_configs=[secret])
    outgoing = _socket(tls_v3.UpstreamTlsContext(common_tls_context=common))
    incoming = _socket(tls_v3.DownstreamTlsContext(common_tls_context=common))
    cluster = cluster_v3.Cluster(name="c", transport_socket=outgoing)
    chain = listener_v3.FilterChain(filters=[tcp_proxy(TcpTarget("c"))], transport_socket=incoming)
    listener = listener_v3.Listener(name="l", address=address("127.0.0.1", 80), filter_chains=[chain])
    units = [
        Unit(UnitKind.CLUSTER, "c", "1", encode(cluster)),
        Unit(UnitKind.LISTENER, "l", "1", encode(listener)),
    ]

    assert await validate(envoy_binary, static_bootstrap(units)) == Verdict(Outcome.VALID)


def _socket(context: tls_v3.UpstreamTlsContext | tls_v3.DownstreamTlsContext) -> core_v3.TransportSocket:
    return core_v3.TransportSocket(name="envoy.transport_sockets.tls", typed_config=any_of(context))


@pytest.mark.parametrize("api", Api)
@pytest.mark.parametrize("validation", ["--validation", "--no-validation"])
def test_traffic_goes_on_while_a_policy_is_refused(
    validation: str, api: Api, envoy_binary: Path, tmp_path: Path
) -> None:
    """Validated, no proxy sees it; otherwise the proxy refuses it. Both ways the form before it stays in force."""
    code = "refused-by-envoy" if validation == "--validation" else "refused-by-proxy"
    control, backend = Control(tmp_path, validation), Backend("one")
    caller = envoy(control, envoy_binary, tmp_path, "caller", api=api)
    try:
        entry, good = service("shop", [backend]), GOOD_ROUTE.replace("HOST", "shop")
        control.write("shop.yaml", entry + routes("shop", good))
        until(lambda: caller.wait().call("shop").status == 200, what="the service answers")

        control.write("shop.yaml", entry + routes("shop", BAD_HEADER.replace("HOST", "shop")))
        until(lambda: len(_problems(control, code)) == 1, what=f"one problem says {code}")
        control.write("other.yaml", service("other", [backend]))
        until(lambda: caller.call("other").status == 200, what="what is not refused goes on changing")

        (problem,) = _problems(control, code)
        assert (problem["file"], problem["kind"], problem["name"]) == ("shop.yaml", "VirtualService", "shop")
        assert caller.call("shop").status == 200
        assert _rejected(caller) == (0 if validation == "--validation" else 1)
    finally:
        caller.close()
        control.close()
        backend.close()


def test_a_port_in_use_is_told_and_changes_nothing(envoy_binary: Path, tmp_path: Path) -> None:
    """It is the machine's fault and no policy's: everything else of the same change is in force."""
    backend = Backend("one")
    control = Control(tmp_path)
    caller = envoy(control, envoy_binary, tmp_path, "caller")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        try:
            control.write("shop.yaml", service("shop", [backend]).replace("number: 80", f"number: {port}"))
            until(lambda: _problems(control, "refused-by-proxy"), what="the refusal is told")

            (problem,) = _problems(control, "refused-by-proxy")
            assert "Address already in use" in problem["message"]
            assert _quarantined(control) == []
            assert caller.wait().call(f"shop:{port}").status == 200
        finally:
            caller.close()
            control.close()
            backend.close()


async def test_one_proxy_that_refuses_what_envoy_takes_stands_alone(envoy_binary: Path, tmp_path: Path) -> None:
    """It is told of, keeps what it has and is not sent that again; others have the new form, and so do newcomers."""
    control = _serving_shop(tmp_path)
    try:
        async with _peers(control, "first", "second", "third") as (first, second, third):
            for peer in (first, second, third):
                await peer.take()
            control.write("shop.yaml", shop("shop", policy="{connectionPool: {tcp: {connectTimeout: 2s}}}"))
            await first.refuse("outbound|80||shop")
            taken = [await peer.take() for peer in (second, third)]
            found = await asyncio.to_thread(until, lambda: _problems(control, "refused-by-proxy"))

            assert {(each["severity"], each["kind"], each["name"]) for each in found} == {
                ("warning", "DestinationRule", "shop"),
                ("warning", "ServiceEntry", "shop"),
            }
            assert found[0]["message"].startswith("first refused CDS outbound|80||shop")
            assert _quarantined(control) == []

            control.write("other.yaml", shop("other"))
            assert set(await first.take()) == {"outbound|80||other"}
            async with _peers(control, "newcomer") as (newcomer,):
                assert taken[0] == taken[1] == {"outbound|80||shop": (await newcomer.take())["outbound|80||shop"]}
    finally:
        control.close()


async def test_most_proxies_outweigh_the_envoy_that_takes_it(envoy_binary: Path, tmp_path: Path) -> None:
    control = _serving_shop(tmp_path)
    try:
        async with _peers(control, "first", "second", "third") as peers:
            before = [await peer.take() for peer in peers]
            control.write("shop.yaml", shop("shop", policy="{connectionPool: {tcp: {connectTimeout: 2s}}}"))
            await peers[0].refuse("outbound|80||shop")
            await peers[1].refuse("outbound|80||shop")
            await peers[2].take()
            after = await peers[2].take()

            assert after == {"outbound|80||shop": before[2]["outbound|80||shop"]}
            assert [problem["kind"] for problem in _quarantined(control)] == ["DestinationRule"]
    finally:
        control.close()


async def test_replicas_of_one_node_have_one_voice(envoy_binary: Path, tmp_path: Path) -> None:
    """Whoever holds its credential might call himself by as many names as it takes."""
    state = tmp_path / "state"
    control = _serving_shop(tmp_path, "--auth", "certificate", "--state-dir", str(state))
    names = ("web@a", "web@b", "api")
    try:
        run("enroll", "web", "api", "-o", tmp_path, "--state-dir", state)
        ids = [f"sidecar~127.0.0.1~{name}.default~default.svc.cluster.local" for name in names]
        async with _peers(control, *ids, credentials=tmp_path) as peers:
            for peer in peers:
                await peer.take()
            control.write("shop.yaml", shop("shop", policy="{connectionPool: {tcp: {connectTimeout: 2s}}}"))
            for peer in peers[:2]:
                await peer.refuse("outbound|80||shop")
            good = await peers[2].take()
            control.write("other.yaml", shop("other"))
            assert set(await peers[2].take()) == {"outbound|80||other"}
            assert _quarantined(control) == []

            control.write("shop.yaml", shop("shop", policy="{connectionPool: {tcp: {connectTimeout: 3s}}}"))
            await peers[0].take()
            for peer in (peers[0], peers[2]):
                await peer.refuse("outbound|80||shop")
            assert await peers[2].take() == good
    finally:
        control.close()


def _serving_shop(directory: Path, *options: str) -> Control:
    (directory / "policies").mkdir()
    (directory / "policies" / "shop.yaml").write_text(shop("shop"))
    return Control(directory, *options)


class _Peer:
    """One delta stream that follows clusters and answers as it is told."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def take(self) -> dict[str, str]:
        """Accept the next response: versions by name."""
        response = await self._client.response()
        await self._client.ack(response)
        return {resource.name: resource.version for resource in response.resources}

    async def refuse(self, name: str) -> None:
        """Refuse the next response because of one cluster, in Envoy's words."""
        response = await self._client.response()
        text = f"Error adding/updating cluster(s) {name}: not understood here"
        await self._client.ask(response.type_url, nonce=response.nonce, error=text)


@asynccontextmanager
async def _peers(control: Control, *nodes: str, credentials: Path | None = None) -> AsyncIterator[list[_Peer]]:
    """A connection for each node, which has asked for all clusters; `credentials` is what enroll wrote for them."""
    async with AsyncExitStack() as connections:
        clients = []
        for node in nodes:
            channel = _channel(f"127.0.0.1:{control.xds_port}", credentials and credentials / _directory(node))
            clients.append(Client(await connections.enter_async_context(channel), DELTA, node=node))
            await clients[-1].ask(type_url.CLUSTER)
        yield [_Peer(client) for client in clients]


def _channel(target: str, credentials: Path | None) -> grpc.aio.Channel:
    options: list[tuple[str, int | str]] = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    shown = [(credentials / name).read_bytes() for name in ("ca.pem", "tls.key", "tls.crt")]
    options.append(("grpc.ssl_target_name_override", CONTROL_PLANE_DNS))
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(*shown), options=options)


def _directory(node_id: str) -> str:
    found = workload(node_id, default_namespace="default")
    return f"{found.name}.{found.namespace}"


def _quarantined(control: Control) -> list[dict[str, str]]:
    validation = control.debug("/debug/validation")
    assert isinstance(validation, dict)
    found: list[dict[str, str]] = validation["quarantined"]
    return found


def _problems(control: Control, code: str) -> list[dict[str, str]]:
    return [problem for problem in control.problems() if problem["code"] == code]


def _rejected(caller: Envoy) -> int:
    """Updates that it refused since it started."""
    return sum(caller.stats(r"update_rejected$").values())
