"""Names of services, looked up by an application whose sidecar answers: a real Envoy behind the real capture rules.

Everything runs in a network namespace of its own, with a resolver of its own at 127.0.0.1:53, which the application
is configured to ask and which only the proxy is let through to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.envoy.static_form import static_bootstrap
from xds_server.mesh.workload import workload
from xds_server.offline import Offline
from xds_server.translate.encode import encode

SCRIPT = Path(__file__).parents[2] / "envoy" / "redirect.sh"
POLICIES = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %(host)s}
spec:
  hosts: [%(host)s]
  ports: [{number: 3306, name: mysql, protocol: TCP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {mysql: %(port)s}}]
---
"""
STORY = r"""
import json, os, socket, struct, subprocess, sys, threading, time

def serve(port, text):
    listener = socket.create_server(("127.0.0.1", port))
    def run():
        while True:
            connection, _ = listener.accept()
            connection.sendall(text)
            connection.close()
    threading.Thread(target=run, daemon=True).start()

def resolver():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    def run():
        while True:
            query, peer = server.recvfrom(512)
            end = query.index(b"\0", 12) + 5
            kind = query[end - 4:end - 2]
            record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("192.0.2.7")
            answer = record if kind == b"\0\1" else b""
            head = query[:2] + b"\x81\x80\0\1" + struct.pack(">H", bool(answer)) + b"\0\0\0\0"
            server.sendto(head + query[12:end] + answer, peer)
    threading.Thread(target=run, daemon=True).start()

def ask(name, kind=1):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(1)
    client.sendto(b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + labels + struct.pack(">HH", kind, 1), ("127.0.0.1", 53))
    answer = client.recv(512)
    count = struct.unpack(">H", answer[6:8])[0]
    addresses = [socket.inet_ntoa(answer[-4:])] if count and kind == 1 else []
    return {"code": answer[3] & 15, "addresses": addresses, "count": count}

def until(look):
    deadline = time.monotonic() + 60
    while True:
        try:
            return look()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)

serve(4001, b"orders")
serve(4002, b"users")
resolver()
envoy = subprocess.Popen([sys.argv[1], "-c", sys.argv[2], "--concurrency", "1", "--use-dynamic-base-id"], user=1337,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    found = {"orders-db": until(lambda: ask("orders-db"))}
    for name in ("users-db.default", "elsewhere.example.com"):
        found[name] = until(lambda: ask(name))
    found["ipv6"] = until(lambda: ask("orders-db", 28))
    found["library"] = socket.create_connection(("users-db", 3306), 60).recv(99).decode()
    for host in ("orders-db", "users-db.default"):
        address = found[host]["addresses"][0]
        found["connected " + host] = socket.create_connection((address, 3306), 60).recv(99).decode()
    print(json.dumps(found))
finally:
    envoy.kill()
    envoy.wait()
"""
NETWORK = """
set -e
ip link set lo up
ip link add out type veth peer name far
ip addr add 10.1.1.1/24 dev out
ip link set out up
ip link set far up
ip route add default via 10.1.1.2
ip neigh add 10.1.1.2 lladdr 02:00:00:00:00:01 dev out
mount --bind "$RESOLV" /etc/resolv.conf
DNS_CAPTURE=true sh "$SCRIPT" > /dev/null
"$PYTHON" -c "$STORY" "$ENVOY" "$CONFIG"
"""


@pytest.fixture(scope="module")
def answers(envoy_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What an application was told and met."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "iptables", "ip", "mount"))):
        pytest.skip("needs root, unshare, ip, mount and iptables: it makes a network namespace")
    directory = tmp_path_factory.mktemp("dns")
    policies = directory / "policies.yaml"
    policies.write_text(
        "".join(POLICIES % {"host": h, "port": p} for h, p in (("orders-db", 4001), ("users-db", 4002)))
    )
    (directory / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    described = workload("web", default_namespace="default", metadata={"DNS_CAPTURE": "true"})
    snapshot = Offline([policies], "default").snapshot_for(described)
    resources = [resource for named in snapshot.by_type.values() for resource in named.values()]
    shared = Path(tempfile.mkdtemp(prefix="xds-dns-"))  # another user has to read it, and pytest's own are private
    try:
        shared.chmod(0o755)
        config, binary = shared / "bootstrap.pb", shared / "envoy"
        config.write_bytes(encode(static_bootstrap(resources)))
        shutil.copy(envoy_binary, binary)
        environment = {"SCRIPT": SCRIPT, "PYTHON": sys.executable, "STORY": STORY, "ENVOY": binary, "CONFIG": config}
        done = subprocess.run(
            ["unshare", "--net", "--mount", "sh", "-c", NETWORK],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            env=os.environ
            | {key: str(value) for key, value in environment.items()}
            | {"RESOLV": str(directory / "resolv.conf")},
        )
    finally:
        shutil.rmtree(shared)
    if "Operation not permitted" in done.stderr:
        pytest.skip("this machine allows no network namespaces")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_names_of_services_are_answered_with_their_virtual_addresses(answers: dict[str, object]) -> None:
    assert answers["orders-db"] == {"code": 0, "addresses": ["240.240.146.142"], "count": 1}
    assert answers["users-db.default"] == {"code": 0, "addresses": ["240.240.186.41"], "count": 1}


def test_services_on_one_port_are_told_apart(answers: dict[str, object]) -> None:
    assert answers["connected orders-db"] == "orders"
    assert answers["connected users-db.default"] == "users"


def test_the_systems_own_resolver_library_is_content(answers: dict[str, object]) -> None:
    assert answers["library"] == "users"


def test_name_is_said_to_exist_whichever_address_is_asked_for(answers: dict[str, object]) -> None:
    """What does not exist for IPv6 does not exist at all for some resolver libraries."""
    assert answers["ipv6"] == {"code": 0, "addresses": [], "count": 1}


def test_other_names_are_passed_on_to_the_containers_resolver(answers: dict[str, object]) -> None:
    assert answers["elsewhere.example.com"] == {"code": 0, "addresses": ["192.0.2.7"], "count": 1}
