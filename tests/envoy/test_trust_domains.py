"""Two trust domains side by side: workloads of the other are believed as long as its name is an alias, and no longer.

Each Envoy calls the other, so both ends of mesh TLS are tried: the caller that checks who answers, and the server that
checks who calls. "partner" has its certificate from an authority of its own, by `--identity-dir`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.envoy.running import Backend, Control, Envoy, envoy, until
from tests.envoy.test_mtls import SERVER, Served, sidecar
from tests.identity.material import root, svid
from tests.identity.test_identity_files import put
from xds_server.identity.authority import pem
from xds_server.mesh.identity import SpiffeId
from xds_server.security import utc_now

STRICT = """\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""


@dataclass(frozen=True)
class Pair:
    """A workload of the mesh's own trust domain, and one of partner.example."""

    control: Control
    home: Envoy
    partner: Envoy
    home_port: int

    def aliases(self, text: str) -> None:
        """Write them, in Istio's bare form."""
        self.control.write("mesh.yaml", f"trustDomain: cluster.local\ntrustDomainAliases: {text}\n")

    def statuses(self) -> tuple[int, int]:
        """How "home" is answered by "partner", and "partner" by "home"."""
        return self.home.call("partner").status, self.partner.call("home").status


@pytest.fixture
def pair(envoy_binary: Path, tmp_path: Path) -> Iterator[Pair]:
    """Both, with an alias in force."""
    partner = root(utc_now())
    put(
        tmp_path / "files" / "workload" / "shop" / "partner",
        svid(partner, SpiffeId("partner.example", "shop", "partner"), utc_now()),
    )
    (tmp_path / "files" / "ca.crt").write_bytes(pem(partner.roots))
    with contextlib.ExitStack() as parts:
        backend = Backend("web")
        parts.callback(backend.close)
        control = Control(tmp_path, "--state-dir", str(tmp_path / "state"), "--identity-dir", str(tmp_path / "files"))
        parts.callback(control.close)
        served = {name: Served(name, "http", "", backend.port, "127.0.4.1") for name in ("home", "partner")}
        services = "".join(one.policies(name) + sidecar(name, "shop", one) for name, one in served.items())
        control.write("services.yaml", services + STRICT)
        found = {
            name: envoy(control, envoy_binary, tmp_path, name, namespace="shop", account=name, labels={"app": name})
            for name in served
        }
        for one in found.values():
            parts.callback(one.close)
            one.wait()
        pair = Pair(control, **found, home_port=served["home"].port)
        pair.aliases("[partner.example]")
        until(lambda: pair.statuses() == (200, 200), what="each is served by the other")
        yield pair


def test_workloads_of_an_alias_are_believed_at_both_ends_until_it_is_taken_back(pair: Pair, tmp_path: Path) -> None:
    pair.aliases("[]")
    until(lambda: pair.statuses() == (503, 503), what="neither is served by the other")

    assert sum(pair.home.stats(r"cluster\.outbound.80..partner.*ssl\.fail_verify_san$").values()) > 0
    refused = rf"listener\.{SERVER}_{pair.home_port}\.ssl\.fail_verify_san$"
    until(lambda: sum(pair.home.stats(refused).values()) > 0, what="the server counts whom it refused")
    until(lambda: "spiffe://partner.example/" in (tmp_path / "home.log").read_text(), what="and says who it was")

    pair.aliases("[partner.example]")
    until(lambda: pair.statuses() == (200, 200), what="each is served by the other again")


def test_bad_alias_is_told_with_its_line_and_the_last_good_ones_stay(pair: Pair) -> None:
    pair.aliases("[partner.example, spiffe://other.example]")
    (problem,) = until(
        lambda: [one for one in pair.control.problems() if one["severity"] == "error"], what="the alias is refused"
    )

    assert f"{problem['file']}:{problem['line']}" == "mesh.yaml:2"
    assert problem["field"] == "spec.trustDomainAliases[1]"
    assert [pair.statuses() for _ in range(20)] == [(200, 200)] * 20
    assert pair.control.debug("/debug/ca")["trust_domain_aliases"] == ["partner.example"]  # type: ignore[index] # JSON
