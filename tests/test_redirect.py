"""envoy/redirect.sh in a network namespace of its own: whose connections it takes, and whose it leaves alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "envoy" / "redirect.sh"
NETWORK = """
set -e
ip link set lo up
ip link add out type veth peer name far
ip addr add 10.1.1.1/24 dev out
ip link set out up
ip link set far up
ip route add default via 10.1.1.2
ip neigh add 10.1.1.2 lladdr 02:00:00:00:00:01 dev out
"""
PROBE = """
import os, select, socket, sys
listeners = [socket.create_server(("127.0.0.1", port)) for port in (15001, 8080)]
uid, host, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
os.setuid(uid)
client = socket.socket()
client.settimeout(2)
try:
    client.connect((host, port))
except OSError:
    print("not captured")
else:
    print("answered by port", select.select(listeners, [], [], 60)[0][0].getsockname()[1])
"""

STEADY = """
import signal, socket, sys
listener = socket.create_server(("127.0.0.1", 15001), backlog=1024)
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
open(sys.argv[1], "w").close()
while not ended:
    with socket.socket() as client:
        client.settimeout(30)
        try:
            client.connect(("192.0.2.1", 80))
        except OSError:
            sys.exit("a connection was not captured")
        listener.accept()[0].close()
print("all captured")
"""


def in_namespace(commands: str, **environment: str) -> str:
    """Standard output of shell commands in a fresh network namespace."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "iptables", "ip"))):
        pytest.skip("needs root, unshare, ip and iptables: it makes a network namespace")
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", commands],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment | {"SCRIPT": str(SCRIPT), "PYTHON": sys.executable, "PROBE": PROBE},
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("this machine allows no network namespaces")
    assert done.returncode == 0, done.stderr
    return done.stdout


def probe(uid: int, host: str, port: int, **environment: str) -> str:
    """Where a connection of that user ends up once the rules are set."""
    commands = f'{NETWORK}\nsh "$SCRIPT" > /dev/null\n"$PYTHON" -c "$PROBE" {uid} {host} {port}'
    return in_namespace(commands, **environment).strip()


def test_connection_of_the_application_goes_to_the_outbound_listener() -> None:
    assert probe(0, "192.0.2.1", 80) == "answered by port 15001"


def test_the_proxys_own_connections_are_left_alone() -> None:
    """Or they would come back to it for ever."""
    assert probe(1337, "192.0.2.1", 80) == "not captured"


def test_loopback_is_left_alone() -> None:
    assert probe(0, "127.0.0.1", 8080) == "answered by port 8080"


def test_excluded_ports_and_networks_are_left_alone() -> None:
    assert probe(0, "192.0.2.1", 5432, EXCLUDE_OUTBOUND_PORTS="5432,3306") == "not captured"
    assert probe(0, "192.0.2.1", 80, EXCLUDE_OUTBOUND_CIDRS="192.0.2.0/24") == "not captured"


def test_inbound_goes_to_its_listener_but_for_the_proxys_own_ports() -> None:
    rules = in_namespace('sh "$SCRIPT"', EXCLUDE_INBOUND_PORTS="22")

    assert "-A PREROUTING -p tcp -j XDS_INBOUND" in rules
    assert "--dports 15000,15001,15006,15008,15020,15021,15090,22 -j RETURN" in rules
    assert "-A XDS_INBOUND -p tcp -j REDIRECT --to-ports 15006" in rules


def test_running_it_again_replaces_its_rules() -> None:
    """The one-shot container is started again with its application."""
    once = in_namespace('sh "$SCRIPT"')

    assert in_namespace('sh "$SCRIPT" > /dev/null; sh "$SCRIPT"') == once


def test_no_connection_slips_through_while_it_runs_again(tmp_path: Path) -> None:
    """An application that calls out while the one-shot container is started again is not let out in plaintext."""
    commands = f"""{NETWORK}
        sh "$SCRIPT" > /dev/null
        "$PYTHON" -c "$STEADY" {tmp_path}/begun &
        for _ in $(seq 600); do test -e {tmp_path}/begun && break; sleep 0.1; done
        for _ in 1 2 3 4 5 6 7 8 9 10; do sh "$SCRIPT" > /dev/null; done
        kill $!; wait $! || true"""

    assert in_namespace(commands, STEADY=STEADY).split() == ["all", "captured"]


def test_lists_of_networks_are_taken_apart() -> None:
    rules = in_namespace('sh "$SCRIPT"', EXCLUDE_OUTBOUND_CIDRS="192.0.2.0/24,198.51.100.0/24")

    assert "-A XDS_OUTBOUND -d 192.0.2.0/24 -j RETURN" in rules
    assert "-A XDS_OUTBOUND -d 198.51.100.0/24 -j RETURN" in rules


def test_its_rules_can_be_removed() -> None:
    assert "XDS_" not in in_namespace('sh "$SCRIPT" > /dev/null; sh "$SCRIPT" remove; iptables -t nat -S')


def test_queries_are_taken_where_they_are_to_be_and_before_anybody_elses_rules() -> None:
    """Docker's own rules take what is sent to 127.0.0.11, its resolver."""
    rules = in_namespace('iptables -t nat -A OUTPUT -d 127.0.0.11 -j RETURN; sh "$SCRIPT"', DNS_CAPTURE="true")
    chain = in_namespace(
        'iptables -t nat -A OUTPUT -d 127.0.0.11 -j RETURN; sh "$SCRIPT" > /dev/null; iptables -t nat -S OUTPUT',
        DNS_CAPTURE="true",
    ).splitlines()

    assert chain[1] == "-A OUTPUT -p udp -m udp --dport 53 -j XDS_DNS"
    assert "-A XDS_DNS -m owner --uid-owner 1337 -j RETURN" in rules
    assert "-A XDS_DNS -p udp -j REDIRECT --to-ports 15053" in rules


def test_rules_for_queries_can_be_removed_and_are_not_there_unless_asked_for() -> None:
    commands = (
        'sh "$SCRIPT" > /dev/null; DNS_CAPTURE=true sh "$SCRIPT" > /dev/null; sh "$SCRIPT" {}; iptables -t nat -S'
    )

    assert "DNS" not in in_namespace(commands.format(""))
    assert "XDS_" not in in_namespace(commands.format("remove"))
