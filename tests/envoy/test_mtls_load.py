"""Every way of TLS is loaded by a real Envoy: towards each protocol in each mode, and into each port in each mode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import backend, endpoint, service, traffic_rule, virtual_host
from tests.envoy.static_form import complaints
from xds_server.mesh.identity import TrustDomain
from xds_server.mesh.security import MutualTls
from xds_server.mesh.service import Port, Protocol
from xds_server.mesh.traffic import ClientTls, TlsMode, TrafficPolicy
from xds_server.mesh.view import InboundPort, View
from xds_server.mesh.workload import Interception
from xds_server.translate.secret import IDENTITY, ROOTS
from xds_server.translate.translate import Translator
from xds_server.xds.snapshot import Snapshot
from xds_server.xds.type_url import SECRET

PROTOCOLS = [protocol for protocol in Protocol if protocol is not Protocol.UDP]
ENDPOINTS = (replace(endpoint("10.0.0.1"), tls_mode="istio", service_account="a"), endpoint("10.0.0.2"))
CLIENTS = {
    "auto": None,
    "disable": ClientTls(TlsMode.DISABLE),
    "simple": ClientTls(TlsMode.SIMPLE),
    "named": ClientTls(TlsMode.SIMPLE, sni="a", subject_alt_names=("a", "10.0.0.1", "spiffe://b/c", "d@e")),
    "blind": ClientTls(TlsMode.SIMPLE, insecure_skip_verify=True),
    "mutual": ClientTls(TlsMode.MUTUAL, client_certificate="/a.crt", private_key="/a.key", ca_certificates="/b.crt"),
    "istio": ClientTls(TlsMode.ISTIO_MUTUAL),
    "credential": ClientTls(TlsMode.SIMPLE, credential_name="a"),
}


TRUST_DOMAIN = TrustDomain("cluster.local", ("old.example",))


def assert_loads(view: View, binary: Path, directory: Path) -> None:
    """With secrets of the test's own."""
    snapshot = Snapshot.of(Translator().translate(view))
    snapshot.check(given={(SECRET, IDENTITY), (SECRET, ROOTS)})
    assert not complaints(binary, directory, [r for named in snapshot.by_type.values() for r in named.values()])


def test_tls_towards_every_protocol_loads(envoy_binary: Path, tmp_path: Path) -> None:
    """Each mode of a DestinationRule and none, behind the PROXY header too."""
    out = tuple(
        virtual_host(
            backend(
                service(f"{name}-{number}".lower(), port=Port(2000 + number, "p", protocol), endpoints=ENDPOINTS),
                traffic_rule(TrafficPolicy(tls=tls, proxy_protocol="V2" if protocol is Protocol.HTTP2 else "")),
            )
        )
        for number, protocol in enumerate(PROTOCOLS)
        for name, tls in CLIENTS.items()
    )
    backends = tuple(host.backend for host in out if host.backend)

    assert_loads(View(backends, out, trust_domain=TRUST_DOMAIN), envoy_binary, tmp_path)


@pytest.mark.parametrize("mode", MutualTls, ids=lambda mode: mode.name)
@pytest.mark.parametrize("interception", Interception, ids=str)
def test_every_mode_of_every_port_loads(
    interception: Interception, mode: MutualTls, envoy_binary: Path, tmp_path: Path
) -> None:
    """Captured and not."""
    application = "127.0.0.1:9000" if interception is Interception.NONE else ""
    inbound = tuple(
        InboundPort(7000 + number, protocol, "me", 80, default_endpoint=application, mutual_tls=mode)
        for number, protocol in enumerate(PROTOCOLS)
    )

    view = View(inbound=inbound, interception=interception, mutual_tls=mode, trust_domain=TRUST_DOMAIN)

    assert_loads(view, envoy_binary, tmp_path)
