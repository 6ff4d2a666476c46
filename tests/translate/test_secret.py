"""Credentials in Envoy's words."""

from __future__ import annotations

import json
from dataclasses import replace

from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls_v3

from xds_server.mesh.identity import Credentials
from xds_server.translate.secret import secrets
from xds_server.translate.to_json import resource_json
from xds_server.xds import type_url

CREDENTIALS = Credentials(b"chain", b"canary", b"roots")


def test_identity_is_named_default_and_roots_rootca() -> None:
    identity, roots = secrets(CREDENTIALS)
    own, trusted = tls_v3.Secret.parse(identity.body), tls_v3.Secret.parse(roots.body)

    assert {identity.type_url, roots.type_url} == {type_url.SECRET}
    assert (identity.name, own.name, roots.name, trusted.name) == ("default", "default", "ROOTCA", "ROOTCA")
    assert own.tls_certificate is not None
    assert own.tls_certificate.certificate_chain.inline_bytes == b"chain"  # type: ignore[union-attr] # absent fails too
    assert own.tls_certificate.private_key.inline_bytes == b"canary"  # type: ignore[union-attr] # absent fails too
    assert trusted.validation_context is not None
    assert trusted.validation_context.trusted_ca.inline_bytes == b"roots"  # type: ignore[union-attr] # absent fails too


def test_renewed_certificate_changes_one_secret() -> None:
    identity, roots = secrets(CREDENTIALS)
    renewed = secrets(replace(CREDENTIALS, certificate_chain=b"new chain", private_key=b"new key"))

    assert renewed[0].version != identity.version
    assert renewed[1] == roots


def test_dump_of_a_secret_shows_no_key() -> None:
    shown = json.dumps([resource_json(secret) for secret in secrets(CREDENTIALS)])

    assert "canary" not in shown
    assert "Y2FuYXJ5" not in shown  # base64 of it
