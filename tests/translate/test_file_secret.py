"""Certificates in files of the proxy."""

from __future__ import annotations

from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from tests.translate.shown import shown
from xds_server.problem import Origin
from xds_server.translate.file_secret import each_once, file_certificate, file_roots, written_in


def test_certificate_is_read_again_when_its_directory_changes() -> None:
    made = tls_v3.Secret.parse(file_certificate("/c/a.crt", "/k/a.key").body)

    assert made.name == "file-cert:/c/a.crt~/k/a.key"
    found = shown(made)["tls_certificate"]
    assert found["certificate_chain"] == {"filename": "/c/a.crt"}
    assert found["watched_directory"] == {"path": "/c"}


def test_refused_file_is_told_of_every_document_that_names_it() -> None:
    origins = [Origin("b.yaml", 2, "DestinationRule", "a", "b"), Origin("a.yaml", 1, "Gateway", "a", "b")]
    one, two = (written_in([file_roots("ca.crt")], [origin]) for origin in origins)
    other = written_in([file_roots("other.crt")], origins[:1])

    joined, alone = each_once((*one, *other, *two))

    assert joined.origins == (origins[1], origins[0])
    assert alone is other[0]


def test_authorities_come_with_what_they_took_back() -> None:
    made = shown(tls_v3.Secret.parse(file_roots("ca.crt", "/d/crl.pem").body))

    assert made["name"] == "file-root:ca.crt~/d/crl.pem"
    assert made["validation_context"]["trusted_ca"] == {"filename": "ca.crt"}
    assert made["validation_context"]["crl"] == {"filename": "/d/crl.pem"}
    assert made["validation_context"]["watched_directory"] == {"path": "."}
