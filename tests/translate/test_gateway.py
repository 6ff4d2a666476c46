"""All that a router is sent."""

from __future__ import annotations

from tests.translate.gateways import gateway, rules, to, view
from xds_server.translate.translate import Translator
from xds_server.xds import type_url
from xds_server.xds.snapshot import Snapshot


def test_router_is_sent_what_it_opens_and_where_that_leads() -> None:
    snapshot = Snapshot.of(Translator().translate(view(gateway("80 HTTP a.com"), rules("a.com", to()))))
    snapshot.check()

    assert list(snapshot.of_type(type_url.LISTENER)) == ["0.0.0.0_80"]
    assert list(snapshot.of_type(type_url.ROUTE)) == ["http.80"]
    assert list(snapshot.of_type(type_url.CLUSTER)) == ["BlackHoleCluster", "outbound|80||reviews"]


def test_router_without_gateways_is_sent_next_to_nothing() -> None:
    snapshot = Snapshot.of(Translator().translate(view()))

    assert not snapshot.of_type(type_url.LISTENER)
    assert list(snapshot.of_type(type_url.CLUSTER)) == ["BlackHoleCluster"]


def test_files_of_certificates_come_with_their_listener() -> None:
    files = "tls: {mode: SIMPLE, serverCertificate: /a.crt, privateKey: /a.key}"
    snapshot = Snapshot.of(Translator().translate(view(gateway(f"443 HTTPS a.com, {files}"))))
    snapshot.check()

    assert list(snapshot.of_type(type_url.SECRET)) == ["file-cert:/a.crt~/a.key"]
