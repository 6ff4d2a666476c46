"""Services that take each other's TCP connections."""

from __future__ import annotations

import pytest

from tests.builders import codes, compiled, entry
from xds_server.memo import Memo
from xds_server.problem import Problem

TCP = "ports: [{number: 3306, name: db, protocol: TCP}], endpoints: [{address: 10.0.0.1}]"
AUTO = TCP.replace("protocol: TCP", "protocol: ''")


def clashes(*texts: str) -> list[Problem]:
    _, problems = compiled("".join(texts))
    return [problem for problem in problems if problem.code == "tcp-port-clash"]


def test_service_that_gets_none_of_its_connections_is_told() -> None:
    """The first by host gets them all."""
    (problem,) = clashes(entry("orders", TCP), entry("billing", TCP))

    assert (problem.name, problem.field) == ("orders", "spec.ports[0]")
    assert "3306 go to billing" in problem.message


def test_addresses_tell_services_apart() -> None:
    assert not clashes(entry("orders", f"addresses: [10.9.0.1], {TCP}"), entry("billing", TCP))


@pytest.mark.parametrize("protocol", ["HTTP", "TLS", "UDP", "''"])
def test_host_or_server_name_tells_services_apart(protocol: str) -> None:
    """On a port whose protocol is detected HTTP is likely meant, which goes by host."""
    assert not clashes(entry("orders", TCP.replace("TCP", protocol)), entry("billing", TCP))


def test_detected_port_takes_the_bytes_of_a_declared_one() -> None:
    assert clashes(entry("orders", TCP), entry("billing", AUTO))


@pytest.mark.parametrize(("exported", "told"), [("exportTo: [a]", True), ("exportTo: [b]", False)])
def test_services_that_no_caller_sees_together_do_not_clash(exported: str, told: bool) -> None:
    assert bool(clashes(entry("orders", f"exportTo: [a], {TCP}"), entry("billing", f"{exported}, {TCP}"))) is told


def test_clash_ends_with_the_service_that_made_it() -> None:
    memo = Memo()
    _, before = compiled(entry("orders", TCP) + entry("billing", TCP), memo=memo)
    _, after = compiled(entry("orders", TCP), memo=memo)

    assert (codes(before), codes(after)) == (["tcp-port-clash"], [])
