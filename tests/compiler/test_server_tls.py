"""TLS settings of servers."""

from __future__ import annotations

from tests.builders import compiled, document, istio
from xds_server.compiler.finding import Place
from xds_server.compiler.server_tls import idle_tls, server_tls
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


def told(tls: str) -> list[tuple[str, str]]:
    """(code, field) of what is said of the TLS settings of a Gateway's server."""
    server = f"{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [a.com], tls: {{{tls}}}}}"
    _, problems = compiled(istio("Gateway", f"selector: {{istio: ingress}}, servers: [{server}]"))
    return [(each.code, each.field.removeprefix("spec.servers[0].tls.")) for each in problems]


def test_settings_of_no_effect_are_named_and_the_rest_holds() -> None:
    passed = "mode: PASSTHROUGH, serverCertificate: /a, privateKey: /k, caCertificates: /c"
    assert told(passed) == [("no-effect", "serverCertificate")]
    files = "mode: SIMPLE, serverCertificate: /a, privateKey: /k"
    assert told(files) == []
    assert told(f"{files}, httpsRedirect: true") == [("no-effect", "httpsRedirect")]


def test_file_beside_a_credential_has_no_effect() -> None:
    written = ServerTLSSettings(mode=ServerTLSMode.SIMPLE, credential_name="shop", server_certificate="use sds")
    edge = document(istio("Gateway", "servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: [a]}]"))

    assert server_tls(written).files == ()
    assert [each.field for each in idle_tls(written, Place(edge))] == ["spec.serverCertificate"]


def test_cipher_that_envoy_does_not_know_is_left_out() -> None:
    """It would cost the whole listener."""
    files = "mode: SIMPLE, serverCertificate: /a, privateKey: /k"
    written = ServerTLSSettings(mode=ServerTLSMode.SIMPLE, cipher_suites=("AES128-SHA", "aes", "-ALL", "AES128-SHA"))

    assert server_tls(written).cipher_suites == ("AES128-SHA", "-ALL")
    assert told(f"{files}, cipherSuites: [AES128-SHA, aes]") == [("unknown-cipher", "cipherSuites[1]")]


def test_tls_that_is_not_ended_needs_no_certificate() -> None:
    written = ServerTLSSettings(mode=ServerTLSMode.PASSTHROUGH, credential_name="shop")

    assert server_tls(written).needed == ()
