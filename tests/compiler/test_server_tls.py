"""TLS settings of servers."""

from __future__ import annotations

from xds_server.compiler.server_tls import server_tls
from xds_server.mesh.gateway import ServerTlsMode
from xds_server.policy.server_tls import ServerTLSMode, ServerTLSSettings, TLSCertificate


def test_one_certificate_and_several_have_one_form() -> None:
    one = ServerTLSSettings(mode=ServerTLSMode.SIMPLE, server_certificate="/a.crt", private_key="/a.key")
    two = ServerTLSSettings(
        mode=ServerTLSMode.MUTUAL,
        tls_certificates=(
            TLSCertificate(server_certificate="/a.crt", private_key="/a.key", ca_certificates="/ca.crt"),
            TLSCertificate(server_certificate="/b.crt", private_key="/b.key"),
        ),
    )

    assert server_tls(one).files == (("/a.crt", "/a.key"),)
    assert server_tls(two).files == (("/a.crt", "/a.key"), ("/b.crt", "/b.key"))
    assert server_tls(two).roots_file == "/ca.crt"


def test_credentials_are_names() -> None:
    written = ServerTLSSettings(mode=ServerTLSMode.SIMPLE, credential_name="shop", insecure_skip_verify=True)

    found = server_tls(written)

    assert (found.mode, found.credentials, found.takes_any) == (ServerTlsMode.SIMPLE, ("shop",), True)
