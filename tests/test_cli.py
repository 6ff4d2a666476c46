"""The command as users run it: a process with arguments, output and an exit code."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format

from tests.builders import istio
from xds_server import __version__
from xds_server.settings import Settings

GOOD = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.9}]
"""
OLD = """\
apiVersion: networking.istio.io/v1alpha3
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy:
    loadBalancer: {simple: LEAST_CONN}
"""
BAD = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews}
    timeout: 5
"""
KEYS = ["file", "line", "column", "kind", "namespace", "name", "field", "severity", "code", "message", "fix"]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """`xds-server` with these arguments, without colour and 100 columns wide."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("XDS_SERVER_")}
    return subprocess.run(
        [sys.executable, "-m", "xds_server", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=inherited | {"NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb"} | environment,
    )


def written(directory: Path, **files: str) -> Path:
    """The directory with NAME.yaml in it for each keyword."""
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    return directory


COMMANDS = [
    (), ("serve",), ("check",), ("render",), ("bootstrap",), ("version",), ("enroll",), ("revoke",), ("ca", "rotate"),
    ("fields",), ("why",), ("logs",), ("demo",),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_help_teaches_by_example(command: tuple[str, ...]) -> None:
    done = run(*command, "--help", COLUMNS="80")

    assert done.returncode == 0
    assert f"xds-server {' '.join(command)}".strip() in done.stdout.replace("-m xds_server", "")
    assert "…" not in done.stdout, "something is cut off at 80 columns"


@pytest.mark.parametrize("command", ["serve", "check", "render", "why", "bootstrap", "enroll", "revoke"])
def test_help_says_the_exit_codes(command: str) -> None:
    assert "Exit codes" in run(command, "-h").stdout


def test_version() -> None:
    assert run("version").stdout == f"xds-server {__version__}\n"


def test_every_setting_is_an_option_of_serve() -> None:
    text = run("serve", "--help").stdout
    options = {name for name in Settings.model_fields if f"--{name.replace('_', '-')}" in text}

    assert options == Settings.model_fields.keys() - {"policies"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("check",),
        ("check", "no-such-path"),
        ("render", "."),
        ("bootstrap", "--api", "rest"),
        ("serve",),
        ("check", ".", "--envoy", "no-such-path"),
        ("serve", ".", "--envoy", "no-such-path"),
    ],
    ids=str,
)
def test_wrong_usage_is_exit_2_without_a_traceback(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)

    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_serving_strangers_is_refused_with_what_to_do(tmp_path: Path) -> None:
    done = run("serve", tmp_path, XDS_SERVER_LISTEN="0.0.0.0:15010", XDS_SERVER_AUTH="none")

    assert done.returncode == 2
    assert done.stderr.startswith("error: --listen 0.0.0.0:15010 can be reached from other machines")
    assert "--insecure" in done.stderr


def test_check_of_good_policies(tmp_path: Path) -> None:
    done = run("check", written(tmp_path, reviews=GOOD))

    assert (done.returncode, done.stdout) == (0, "1 document in force: no problems\n")


def test_check_quotes_the_place_of_an_error(tmp_path: Path) -> None:
    done = run("check", written(tmp_path, reviews=GOOD, bad=BAD))

    assert done.returncode == 1
    assert f"{tmp_path}/bad.yaml:9:" in done.stdout
    assert "    9 |     timeout: 5\n      |     ^\n" in done.stdout
    assert done.stdout.endswith("1 document in force: 1 error\n")


def test_check_as_json_has_exactly_the_documented_keys(tmp_path: Path) -> None:
    done = run("check", written(tmp_path, bad=BAD), "-o", "json")

    (problem,) = json.loads(done.stdout)
    assert done.returncode == 1
    assert list(problem) == KEYS
    assert (problem["file"], problem["line"], problem["severity"]) == ("bad.yaml", 9, "error")
    assert (problem["kind"], problem["namespace"], problem["name"]) == ("VirtualService", "default", "reviews")
    assert problem["field"] == "spec.http[0].timeout"


@pytest.mark.parametrize(("fail_on", "code"), [("error", 0), ("warning", 0), ("note", 1)])
def test_check_fails_on_the_severity_it_is_told(fail_on: str, code: int, tmp_path: Path) -> None:
    done = run("check", written(tmp_path, reviews=GOOD, old=OLD), "--fail-on", fail_on)

    assert done.returncode == code
    assert "1 note" in done.stdout


def test_check_takes_several_paths(tmp_path: Path) -> None:
    root = written(tmp_path, reviews=GOOD, bad=BAD, old=OLD)

    done = run("check", root / "reviews.yaml", root / "old.yaml")

    assert "2 documents in force" in done.stdout


def test_check_puts_documents_in_the_default_namespace(tmp_path: Path) -> None:
    done = run("check", written(tmp_path, bad=BAD), "-o", "json", "--default-namespace", "shop")

    assert json.loads(done.stdout)[0]["namespace"] == "shop"


def test_check_knows_the_trust_domain_of_the_server(tmp_path: Path) -> None:
    path = written(tmp_path, mesh="trustDomain: shop.example\n")

    ours = run("check", path, "--no-validation", "--trust-domain", "shop.example")
    other = run("check", path, "--no-validation")

    assert (ours.returncode, other.returncode) == (0, 1)
    assert "other-trust-domain" in other.stdout


def render(root: Path, node: str, form: str = "json", *, more: tuple[str, ...] = ()) -> Any:
    """What `render` prints for a node."""
    path = root / "node.txt"
    path.write_text(node)
    done = run("render", "--node", path, root, "-o", form, *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if form == "json" else yaml.safe_load(done.stdout)


def test_render_prints_what_the_node_is_sent(tmp_path: Path) -> None:
    sent = render(written(tmp_path, reviews=GOOD), "id: web")

    assert list(sent) == ["clusters", "endpoints", "listeners", "routes", "secrets"]
    cluster = next(c for c in sent["clusters"] if c["name"] == "outbound|80||reviews")
    assert (cluster["type"], cluster["connect_timeout"], cluster["lb_policy"]) == ("EDS", "10s", "LEAST_REQUEST")
    assert [e["cluster_name"] for e in sent["endpoints"]] == ["outbound|80||reviews"]


def test_policies_of_the_root_namespace_hold_for_every_node(tmp_path: Path) -> None:
    closed = istio("Sidecar", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}", namespace="istio-system")
    root = written(tmp_path, reviews=GOOD, closed=closed)

    ordinary = render(root, "id: web")
    sent = render(root, "id: web", more=("--root-namespace", "istio-system"))

    catch_alls = [[each["routes"][0]["virtual_hosts"][-1]["name"]] for each in (ordinary, sent)]
    assert catch_alls == [["allow_any"], ["block_all"]]


def test_render_is_the_same_as_yaml_and_json(tmp_path: Path) -> None:
    root = written(tmp_path, reviews=GOOD)

    assert render(root, "id: web", "yaml") == render(root, "id: web", "json")


def test_rendered_messages_are_what_the_protobuf_runtime_reads(tmp_path: Path) -> None:
    """Strictly: an unknown field, a wrong enum or a duration without its s would be refused."""
    sent = render(written(tmp_path, reviews=GOOD), "id: web")
    for kind, module, message in (
        ("clusters", "envoy.config.cluster.v3.cluster_pb2", "Cluster"),
        ("endpoints", "envoy.config.endpoint.v3.endpoint_pb2", "ClusterLoadAssignment"),
    ):
        importlib.import_module("envoy.extensions.upstreams.http.v3.http_protocol_options_pb2")
        for resource in sent[kind]:
            read = json_format.ParseDict(resource, getattr(importlib.import_module(module), message)())

            assert json_format.MessageToDict(read, preserving_proto_field_name=True) == resource


@pytest.mark.parametrize("command", [("render",), ("why", "http://reviews/")])
def test_what_is_not_in_force_is_left_out_of_what_a_node_is_sent_and_that_is_said(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    root = written(tmp_path, reviews=GOOD, bad=BAD)
    (root / "node.txt").write_text("id: web")

    done = run(*command, "--node", root / "node.txt", root)

    assert done.returncode == 0
    assert done.stderr == "1 of the policies' problems is an error; see: xds-server check\n"


def test_render_without_a_node_in_the_file_is_exit_2(tmp_path: Path) -> None:
    (tmp_path / "node.txt").write_text("[]")

    done = run("render", "--node", tmp_path / "node.txt", tmp_path)

    assert done.returncode == 2
    assert "holds no node" in done.stderr


def test_bootstrap_prints_yaml_or_json() -> None:
    arguments = ("bootstrap", "--name", "web-1", "--label", "app=web", "--mode", "none", "--http-proxy-port", "15080")
    as_json = json.loads(run(*arguments, "-o", "json").stdout)

    assert yaml.safe_load(run(*arguments).stdout) == as_json
    assert as_json["node"]["metadata"]["HTTP_PROXY_PORT"] == "15080"
    assert as_json["node"]["cluster"] == "web.default"


def test_bootstrap_takes_name_and_namespace_from_a_node_id() -> None:
    node_id = "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local"
    node = json.loads(run("bootstrap", "--node-id", node_id, "-o", "json").stdout)["node"]

    assert (node["id"], node["metadata"]["NAME"], node["metadata"]["NAMESPACE"]) == (node_id, "web-1", "shop")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "--name NAME, or --node-id ID"),
        (("--name", "a", "--label", "app"), "--label 'app' is no label; write KEY=VALUE"),
        (("--name", "a", "--xds-address", "a:1,b"), "--xds-address: 'b' is no address; write HOST:PORT"),
        (("--name", "a", "--http-proxy-port", "1"), "--http-proxy-port needs --mode none"),
    ],
    ids=str,
)
def test_bootstrap_says_which_option_cannot_be(arguments: tuple[str, ...], text: str) -> None:
    done = run("bootstrap", *arguments)

    assert done.returncode == 2
    assert text in done.stderr


def test_the_collector_rests_while_a_command_loads(tmp_path: Path) -> None:
    """Classes and policies stay; looking through them over and over is time that somebody waits."""
    (tmp_path / "a.yaml").write_text(GOOD)
    code = (
        "import atexit, gc, sys, xds_server.cli as cli; before = gc.get_stats()[2]['collections'];"
        "atexit.register(lambda: print(gc.get_stats()[2]['collections'] - before, file=sys.stderr));"
        "cli.main()"
    )
    command = [sys.executable, "-c", code, "check", str(tmp_path), "--no-validation"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stderr == "0\n"
