"""TLS towards clients."""

from __future__ import annotations

from typing import Any

import pytest

from tests.translate.shown import shown
from xds_server.mesh.gateway import ServerTls, ServerTlsMode
from xds_server.mesh.identity import TrustDomain
from xds_server.translate.server_tls import ServerSecurity, server_security
from xds_server.xds.type_url import SECRET


def security(mode: ServerTlsMode, *, http: bool = True, **options: Any) -> ServerSecurity:
    found = server_security(ServerTls(mode, **options), None, http=http)
    assert found is not None
    return found


def context(mode: ServerTlsMode, *, http: bool = True, **options: Any) -> dict[str, Any]:
    config: dict[str, Any] = shown(security(mode, http=http, **options).socket)["typed_config"]
    return config


def test_certificate_is_a_secret_by_name() -> None:
    found = security(ServerTlsMode.SIMPLE, credentials=("shop",))

    assert found.refs == ((SECRET, "kubernetes://shop"),)
    assert not found.secrets


def test_files_of_the_router_are_secrets_that_are_read_again() -> None:
    found = security(ServerTlsMode.MUTUAL, files=(("/c/a.crt", "/c/a.key"),), roots_file="/c/ca.crt")

    assert [name for _, name in found.refs] == ["file-cert:/c/a.crt~/c/a.key", "file-root:/c/ca.crt"]
    assert {secret.name for secret in found.secrets} == {name for _, name in found.refs}
    assert all(b"/c" in secret.body for secret in found.secrets)


@pytest.mark.parametrize(
    ("mode", "asked", "required"),
    [
        (ServerTlsMode.SIMPLE, False, False),
        (ServerTlsMode.OPTIONAL_MUTUAL, True, False),
        (ServerTlsMode.MUTUAL, True, True),
    ],
)
def test_clients_are_asked_as_the_mode_says(mode: ServerTlsMode, *, asked: bool, required: bool) -> None:
    found = context(mode, credentials=("shop",))

    assert ("combined_validation_context" in found["common_tls_context"]) is asked
    assert found.get("require_client_certificate", False) is required


def test_a_client_may_be_let_in_whatever_it_shows() -> None:
    def trust(**options: Any) -> Any:
        found = context(ServerTlsMode.MUTUAL, credentials=("shop",), **options)["common_tls_context"]
        return found["combined_validation_context"]["default_validation_context"].get("trust_chain_verification")

    assert trust(takes_any=True) == "ACCEPT_UNTRUSTED"
    assert trust() is None


def test_versions_are_istios_unless_written() -> None:
    default = context(ServerTlsMode.SIMPLE, credentials=("a",))["common_tls_context"]["tls_params"]
    written = context(ServerTlsMode.SIMPLE, credentials=("a",), min_version="TLSV1_3", cipher_suites=("X",))

    assert default["tls_minimum_protocol_version"] == "TLSv1_2"
    assert written["common_tls_context"]["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_3"
    assert written["common_tls_context"]["tls_params"]["cipher_suites"] == ["X"]


def test_http_is_offered_where_http_is_read() -> None:
    assert context(ServerTlsMode.SIMPLE)["common_tls_context"]["alpn_protocols"] == ["h2", "http/1.1"]
    assert "alpn_protocols" not in context(ServerTlsMode.SIMPLE, http=False)["common_tls_context"]


def test_mesh_tls_needs_an_identity() -> None:
    tls = ServerTls(ServerTlsMode.ISTIO_MUTUAL)

    assert server_security(tls, None, http=True) is None
    found = server_security(tls, TrustDomain(), http=True)
    assert found is not None
    assert [name for _, name in found.refs] == ["default", "ROOTCA"]
