"""Istio's documents of external services on real traffic of an application whose calls are captured.

Only known services may be called, and what the application asks for is found where the test says: in its hosts file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.builders import istio
from tests.envoy.captured import SERVER, WORLD, Captured, captured
from tests.envoy.running import until

SAMPLES = Path(__file__).parents[3] / "shared" / "reference" / "samples"
FILES = {"aptget": SAMPLES / "external" / "aptget.yaml", "pypi": SAMPLES / "external" / "pypi.yaml"}
GOOGLE = SAMPLES / "bookinfo" / "networking" / "egress-rule-google-apis.yaml"
REFUSED = {"no answer", "status 502"}
"""What comes of calls to unknown hosts: a connection that is closed, or an answer where known ones speak HTTP."""

pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="Istio's sample documents are not here")

_GREET = """
import json, os, socket, ssl, sys
names = []
def seen(connection, name, context):
    names.append(name)
    return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.sni_callback = seen
listening = socket.create_server(("0.0.0.0", 443))
while True:
    client = listening.accept()[0]
    try:
        context.wrap_socket(client, server_side=True)
    except OSError:
        client.close()
    with open(sys.argv[1] + ".draft", "w") as out:
        json.dump(names, out)
    os.replace(sys.argv[1] + ".draft", sys.argv[1])
"""
"""Takes TLS on port 443, notes the server name that is asked for, and ends it there."""
_ASK = """
import socket, ssl, sys
context = ssl.create_default_context()
try:
    with socket.create_connection((sys.argv[1], 443), timeout=60) as plain:
        context.wrap_socket(plain, server_hostname=sys.argv[1])
except OSError as error:
    print(error)
"""


def hosts(file: Path) -> list[str]:
    """The hosts of every ServiceEntry in a file."""
    found = [each for each in yaml.safe_load_all(file.read_text()) if each and each["kind"] == "ServiceEntry"]
    return [host for each in found for host in each["spec"]["hosts"]]


@pytest.fixture(scope="module")
def lab(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Captured]:
    """Where every name of the samples, and one more, is the address of the rest of the world."""
    directory = tmp_path_factory.mktemp("external")
    with captured(envoy_binary, directory) as found:
        known = [*(host for file in FILES.values() for host in hosts(file)), *hosts(GOOGLE), "unknown.test"]
        table = Path("/etc/netns") / found.app.name / "hosts"
        table.write_text(table.read_text() + f"{WORLD} {' '.join(known)}\n")
        http = found.world.running(directory / "http.log", sys.executable, "-c", SERVER, "outside", 80)
        tls = found.world.running(directory / "tls.log", sys.executable, "-c", _GREET, directory / "names")
        with http, tls:
            until(lambda: found.world.get("http://127.0.0.1:80/").startswith("outside"), what="the world answers")
            found.apply("outbound", istio("Sidecar", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"))
            until(lambda: found.app.get("http://unknown.test/") in REFUSED, what="unknown hosts are refused")
            yield found


def asked_for(lab: Captured) -> list[str]:
    """The server names that the world was asked for over TLS."""
    file = lab.policies.parent / "names"
    return json.loads(file.read_text()) if file.exists() else []


def test_packages_can_be_had_from_the_hosts_of_the_sample_alone(lab: Captured) -> None:
    names = hosts(FILES["aptget"])
    assert {lab.app.get(f"http://{name}/") for name in names} <= REFUSED

    lab.apply("aptget", FILES["aptget"].read_text())

    for name in names:
        until(lambda name=name: lab.app.get(f"http://{name}/") == "outside through envoy", what=name)  # type: ignore[misc] # a default
    assert lab.app.get("http://unknown.test/") in REFUSED


def test_package_index_is_reached_over_tls_by_its_names_alone(lab: Captured) -> None:
    """TLS is passed on as it is: the far side sees the name that the application asks for."""
    lab.apply("pypi", FILES["pypi"].read_text())

    def reached(name: str) -> bool:
        lab.app.run(sys.executable, "-c", _ASK, name)
        return name in asked_for(lab)

    for name in hosts(FILES["pypi"]):
        until(lambda name=name: reached(name), what=name)  # type: ignore[misc] # a default
    assert not reached("unknown.test")


def test_plain_calls_to_the_apis_leave_as_tls_with_their_name(lab: Captured) -> None:
    """The far side here is none of theirs, so that its certificate is not asked for any more: 503, after the hello."""
    lab.apply("google", GOOGLE.read_text())

    def refused_after_hello() -> bool:
        return lab.app.get("http://www.googleapis.com/") == "status 503" and "www.googleapis.com" in asked_for(lab)

    until(refused_after_hello, what="TLS is begun for the application")
